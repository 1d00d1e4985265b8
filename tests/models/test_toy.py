"""A model of somebody's own, added in the steps that CONTRIBUTING.md names."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import Field
from torch import Tensor

from mlet_bench import cli
from mlet_bench.config import Section
from mlet_bench.embedding import Embedding
from mlet_bench.models import MODELS, CTRModel
from mlet_bench.models.layers import FirstOrder
from tests.conftest import Ended


class ToySettings(Section):
    size: float = Field(gt=0)


class Toy(CTRModel):
    """The sum of all vectors' entries, to a size, and a linear part."""

    Settings = ToySettings

    def __init__(self, embedding: Embedding, num_numeric: int, settings: ToySettings) -> None:
        super().__init__(embedding)
        self.size = settings.size
        self.linear = FirstOrder(embedding.cardinalities, num_numeric, bias=True)

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
        logit_B: Tensor = self.linear(ids_BF, numeric_BN)
        return logit_B + self.size * self.embedding(ids_BF).sum((1, 2))


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch, criteo_file: Path) -> None:
    monkeypatch.setitem(MODELS, "toy", Toy)
    Path("conf/model").mkdir(parents=True)
    Path("conf/model/toy.yaml").write_text("name: toy\nsize: 2.0 # of the sum\n")


TRAIN = ("train", "--config-dir", "conf", "dataset=criteo", "dataset.raw=train.txt", "model=toy", "train.batch_size=60")


def test_added_model_runs(command: Callable[..., Ended]) -> None:
    ended = command(*TRAIN, "emb=mlet", "emb.dim=3", "hydra.run.dir=run")
    assert ended.code == cli.DONE, ended.err
    result = json.loads(Path("run/result.json").read_text())
    rows = result["dataset"]["categories"] + 26
    assert result["model"] == "toy"
    assert result["collapse"]["parameters_inference"] == rows * (3 + 1) + 13 + 1


def test_its_settings_are_checked(command: Callable[..., Ended]) -> None:
    ended = command(*TRAIN, "model.size=0")
    assert ended.code == cli.MISTAKE
    assert "model.size=0: not allowed; allowed: a number > 0." in ended.err
    ended = command(*TRAIN, "+model.sise=1")
    assert ended.code == cli.MISTAKE
    assert "Did you mean" in ended.err

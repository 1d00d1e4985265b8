"""An embedding mode of somebody's own, added in the steps that CONTRIBUTING.md names: a function, a section, a file."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import Field
from torch import Tensor

from mlet_bench import cli
from mlet_bench.config.emb import EMBEDDINGS, EmbConfig
from mlet_bench.data import Prepared
from mlet_bench.embedding import MODES, Embedding
from mlet_bench.embedding.maker import TableMaker
from mlet_bench.embedding.rows import FieldOffsets
from mlet_bench.library import load_model
from tests.conftest import TINY, Ended


class SharedBy(FieldOffsets):
    """Neighbours among a field's ids read one row."""

    def __init__(self, cardinalities: Sequence[int], number: int) -> None:
        super().__init__(cardinalities, [-(-count // number) for count in cardinalities])
        self.number = number
        self.register_buffer("cardinalities_F", torch.tensor(self.cardinalities))

    @property
    def key(self) -> tuple[object, ...]:
        return *super().key, self.number

    def in_field(self, ids: Tensor, field: int) -> Tensor:
        return torch.div(ids, self.number, rounding_mode="floor")

    def rows(self, ids_BF: Tensor) -> Tensor:
        return super().rows(self.in_field(ids_BF, 0))


class ToyEmbConfig(EmbConfig):
    neighbours: int = Field(ge=1)


def toy(config: ToyEmbConfig, cardinalities: Sequence[int], maker: TableMaker) -> Embedding:
    return maker.table(SharedBy(cardinalities, config.neighbours))


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch, criteo_file: Path) -> None:
    monkeypatch.setitem(EMBEDDINGS, "toy", ToyEmbConfig)
    monkeypatch.setitem(MODES, ToyEmbConfig, toy)
    Path("conf/emb").mkdir(parents=True)
    Path("conf/emb/toy.yaml").write_text(
        "mode: toy\ndim: 4\ninner: null\nneighbours: 3\nlr: null\nl2: 0.0\nl2_on: factors\nl2_rows: batch\n"
        "table_init: dlrm\ninit_std: null\ninner_std: null\n"
    )


DATA = ("--config-dir", "conf", "dataset=criteo", "dataset.raw=train.txt", *TINY)


@pytest.mark.parametrize("inner", ["null", "6"])
def test_added_mode_is_trained_collapsed_and_loaded(command: Callable[..., Ended], inner: str) -> None:
    ended = command("train", *DATA, "emb=toy", f"emb.inner={inner}", "hydra.run.dir=run")
    assert ended.code == cli.DONE, ended.err
    result = json.loads(Path("run/result.json").read_text())
    assert (result["emb"]["mode"], result["emb"]["neighbours"]) == ("toy", 3)
    prepared = Prepared.open(next(Path("data/prepared").iterdir()))
    rows = sum(-(-count // 3) for count in prepared.cardinalities)
    assert result["collapse"]["embedding_bytes_inference"] == 4 * 4 * rows
    test = prepared.split("test", counts=False)
    with torch.no_grad():
        logit_R = load_model("run")(torch.from_numpy(test.ids_BF), torch.from_numpy(test.numeric_BN))
    np.testing.assert_allclose(logit_R, pq.read_table("run/predictions.parquet")["logit"], atol=1e-6)


def test_added_mode_is_compared_and_reported_under_its_name(command: Callable[..., Ended]) -> None:
    arms = '[emb=single,"emb=toy emb.neighbours=2","emb=toy emb.inner=5"]'
    words = ("trials=1", "seeds=[1,2]", "search.lr=null", f"arms={arms}", "hydra.run.dir=tuned")
    ended = command("tune", *DATA, *words)
    assert ended.code == cli.DONE, ended.err
    assert "toy d=4 neighbours=2" in ended.out
    assert "toy d=4 k=5" in ended.out
    ended = command("report", "runs=tuned")
    assert ended.code == cli.DONE, ended.err
    assert "toy" in ended.out
    assert "toy" in Path("outputs/report/report.html").read_text()

"""What holds for every model in conf/model/."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml

from mlet_bench import cli, models
from mlet_bench.config import EmbConfig, TrainConfig
from mlet_bench.embedding import RowTable, SingleEmbedding
from mlet_bench.embedding.collapse import collapse
from mlet_bench.models import CTRModel
from mlet_bench.system.shipped import shipped
from mlet_bench.training.optimizers import Optimizers
from tests.conftest import Ended
from tests.models.small import ALL, DIM, INNER, rows, section, small_model

PINNED = {
    "autoint": 0.6970601,
    "autoint_plus": 0.8380167,
    "dcn": 0.6081299,
    "dcnv2": 0.6374506,
    "deepfm": 1.1041319,
    "dlrm": 0.7337995,
    "fm": 1.0733930,
    "lr": 1.4869266,
    "nfm": 1.5687086,
    "widedeep": 1.6490326,
    "xdeepfm": 0.6627204,
}
"""The loss after one step of SGD. If a number moves, a model, its start or the optimiser computes something else than
it did: find out what, and whether results of before still hold; only then copy the new number here, with a line in
CHANGELOG.md and a new `recipe.RECIPE`."""


def optimizers(model: CTRModel, **changes: Any) -> Optimizers:
    train = yaml.safe_load((shipped() / "train" / "default.yaml").read_text())
    emb = yaml.safe_load((shipped() / "emb" / "mlet.yaml").read_text())
    return Optimizers(
        model, TrainConfig.model_validate({**train, **changes}), EmbConfig.model_validate({**emb, "l2": 0.01})
    )


def train(model: CTRModel, fields: int, numeric: int, *, steps: int, batch: int = 9, **changes: Any) -> float:
    """The loss after `steps` steps, in evaluation mode."""
    model.train()
    moving = optimizers(model, **changes)
    ids_BF, numeric_BN = rows(batch, fields, numeric)
    numeric_BN = numeric_BN.to(next(model.parameters()).dtype)
    label_B = (ids_BF[:, 0] > 1).to(numeric_BN)
    for _ in range(steps):
        loss = F.binary_cross_entropy_with_logits(model(ids_BF, numeric_BN), label_B)
        penalty = moving.batch_penalty()
        assert penalty is not None
        (loss + penalty).backward()
        moving.step()
        moving.clear()
    with torch.no_grad():
        return float(F.binary_cross_entropy_with_logits(model.eval()(ids_BF, numeric_BN), label_B))


def test_every_choice_names_its_model() -> None:
    assert sorted(models.MODELS) == ALL
    for name in ALL:
        assert section(name).name == name


@pytest.mark.parametrize("name", ALL)
def test_one_step_is_pinned(name: str) -> None:
    loss = train(small_model(name, 3, 2).double(), 3, 2, steps=1, optimizer="sgd", lr=0.1)
    assert loss == pytest.approx(PINNED[name], rel=1e-6)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")  # DLRM: one field alone makes no pair
@pytest.mark.parametrize(("batch", "fields", "numeric"), [(9, 3, 2), (1, 1, 0), (1, 3, 0), (9, 1, 1)])
def test_learns_with_any_shape(name: str, batch: int, fields: int, numeric: int) -> None:
    changes = {"batch_norm": True} if "mlp" in section(name).settings or name == "dlrm" else {}
    model = small_model(name, fields, numeric, **changes)
    before = train(model, fields, numeric, steps=0, batch=batch)
    after = train(model, fields, numeric, steps=10, batch=batch, lr=0.01)
    assert after < before
    assert model(*rows(batch, fields, numeric)).shape == (batch,)


@pytest.mark.parametrize("name", ALL)
def test_collapsed_model_gives_the_same_logits_and_loads_into_the_plain_one(name: str) -> None:
    numeric = 2
    changes = {"batch_norm": True} if "mlp" in section(name).settings or name == "dlrm" else {}
    model = small_model(name, 3, numeric, factorised=True, **changes)
    train(model, 3, numeric, steps=5, lr=0.1)
    collapsed = collapse(model)
    plain = models.build(section(name, **changes), SingleEmbedding.empty([5] * 3, DIM), numeric).eval()
    plain.load_state_dict(collapsed.state_dict(), strict=True)
    with torch.no_grad():
        trained_B, plain_B = model(*rows(50, 3, numeric)), plain(*rows(50, 3, numeric))
    assert (trained_B - plain_B).abs().max() <= 1e-5 * max(1, trained_B.abs().max())
    saved = 15 * (INNER - DIM) + 3 * INNER * DIM if name != "lr" else 0
    assert count(model) - count(plain) == saved


def count(model: CTRModel) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("update", ["lazy", "exact"])
def test_first_order_weights_of_unseen_categories_stay_zero(name: str, update: str) -> None:
    torch.manual_seed(0)
    changes = {"use_wide": True} if name.startswith("autoint") else {}
    model = models.build(section(name, **changes), SingleEmbedding.from_weights([9] * 3, torch.randn(27, DIM)), 2)
    train(model, 3, 2, steps=5, update=update)
    tables = {key: part for key, part in model.named_modules() if isinstance(part, RowTable)}
    wide = [part for key, part in tables.items() if key.startswith("linear.")]
    assert len(wide) == (name not in ("dcn", "dcnv2", "dlrm"))
    for table in wide:
        assert table.weight.shape == (27, 1)
        seen_BF = rows(9, 3, 2)[0] + 9 * torch.arange(3)
        seen_V = torch.zeros(27, dtype=torch.bool).index_fill_(0, seen_BF.flatten(), True)
        assert torch.equal(table.weight[:, 0] != 0, seen_V)


@pytest.mark.parametrize("name", [name for name in ALL if "dropout" in section(name).settings])
def test_dropout_acts_in_training_only(name: str) -> None:
    model = small_model(name, 3, 2, dropout=0.5)
    batch = rows(9, 3, 2)
    assert torch.equal(model(*batch), model(*batch))
    model.train()
    assert not torch.equal(model(*batch), model(*batch))


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ("autoint_plus", "lr") else pytest.mark.more) for name in ALL]
)
def test_runs_end_to_end(command: Callable[..., Ended], name: str) -> None:
    tiny = ("emb.dim=4", "emb.inner=6", "train.batch_size=359", "hydra.run.dir=run")  # the second batch is one row
    ended = command("train", "dataset=criteo", "dataset.raw=train.txt", f"model={name}", "emb=mlet", *tiny)
    assert ended.code == cli.DONE, ended.err
    result = json.loads(Path("run/result.json").read_text())
    assert (result["model"], result["train"]["steps"]) == (name, 2)
    assert result["collapse"]["embedding_bytes_inference"] == (
        0 if name == "lr" else 4 * 4 * (result["dataset"]["categories"] + 26)
    )

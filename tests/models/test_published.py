"""Parameter counts of published runs (reczoo/BARS, logs of FuxiCTR 1.x), from their settings and their rows alone."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
import yaml

from mlet_bench import models
from mlet_bench.config import ModelSection
from mlet_bench.embedding import SingleEmbedding
from mlet_bench.system.shipped import shipped

DIM = 10


@dataclass(frozen=True)
class Published:
    rows: int
    """Of all tables: the categories of the training split and one row for all others in each field."""
    fields: int
    numeric: int


DATA = {
    "frappe": Published(rows=5379 + 10, fields=10, numeric=0),
    "movielenslatest": Published(rows=90239, fields=3, numeric=0),
    "avazu": Published(rows=1298599, fields=22, numeric=0),
    "criteo": Published(rows=2086303, fields=26, numeric=13),
}

WIDTHS = [400, 400, 400]
DEEP = {"mlp": WIDTHS, "batch_norm": True}
PLAIN = {"mlp": WIDTHS, "batch_norm": False}


def attention(layers: int, dim: int, heads: int, **more: Any) -> dict[str, Any]:
    return {"attention_layers": layers, "attention_dim": dim, "attention_heads": heads, **more}


RUNS = [
    ("frappe", "lr", {}, 5390),
    ("frappe", "fm", {}, 59280),
    ("frappe", "nfm", PLAIN, 384880),
    ("frappe", "widedeep", DEEP, 423280),
    ("frappe", "deepfm", DEEP, 423280),
    ("frappe", "xdeepfm", {"cin_layers": [64], **DEEP}, 429809),
    ("frappe", "dcn", {"cross_layers": 3, **DEEP}, 418591),
    ("frappe", "dcnv2", {"cross_layers": 4, **DEEP}, 458391),
    ("frappe", "dlrm", {"interaction": "cat", "top_mlp": WIDTHS, "batch_norm": True}, 417891),
    ("frappe", "autoint", attention(6, 128, 4), 306051),
    ("frappe", "autoint_plus", attention(5, 128, 4, layer_norm=True, use_scale=True, **DEEP), 622180),
    ("movielenslatest", "lr", {}, 90240),
    ("movielenslatest", "fm", {}, 992630),
    ("movielenslatest", "nfm", PLAIN, 1318230),
    ("movielenslatest", "widedeep", DEEP, 1328630),
    ("movielenslatest", "deepfm", DEEP, 1328630),
    ("movielenslatest", "xdeepfm", {"cin_layers": [64, 64, 64], **PLAIN}, 1351767),
    ("movielenslatest", "dcn", {"cross_layers": 4, **DEEP}, 1238661),
    ("movielenslatest", "dcnv2", {"cross_layers": 5, **DEEP}, 1243071),
    ("movielenslatest", "dlrm", {"interaction": "cat", "top_mlp": WIDTHS, "batch_norm": True}, 1238391),
    ("movielenslatest", "autoint", attention(2, 128, 4, layer_norm=True, use_scale=True, use_wide=True), 1047798),
    ("movielenslatest", "autoint_plus",
     attention(2, 128, 4, layer_norm=True, use_scale=True, use_wide=True, **DEEP), 1383799),
    ("avazu", "lr", {}, 1298600),
    ("avazu", "fm", {}, 14284590),
    ("avazu", "nfm", PLAIN, 14610190),
    ("avazu", "widedeep", DEEP, 14696590),
    ("avazu", "deepfm", DEEP, 14696590),
    ("avazu", "xdeepfm", {"cin_layers": [64], **DEEP}, 14727695),
    ("avazu", "dcn", {"cross_layers": 3, **PLAIN}, 13397131),
    ("avazu", "dcnv2", {"cross_layers": 5, **DEEP}, 13641311),
    ("avazu", "dlrm", {"bottom_mlp": WIDTHS, "top_mlp": WIDTHS, "batch_norm": True}, 13402391),
    ("avazu", "autoint", attention(4, 128, 1, layer_norm=True, use_scale=True), 13142407),
    ("avazu", "autoint_plus", attention(5, 256, 2, layer_norm=True, use_scale=True, **DEEP), 14202856),
    ("criteo", "lr", {}, 2086317),
    ("criteo", "fm", {}, 22949477),
    ("criteo", "nfm", PLAIN, 23275077),
    ("criteo", "widedeep", DEEP, 23429477),
    ("criteo", "deepfm", DEEP, 23429477),
    ("criteo", "xdeepfm", {"cin_layers": [16, 16], **PLAIN}, 23461462),
    ("criteo", "dcn", {"cross_layers": 3, "numeric_input": "vectors", **PLAIN}, 21343491),
    ("criteo", "dcnv2", {"cross_layers": 3, "mlp": [500, 500, 500], "batch_norm": False}, 22018021),
    ("criteo", "dlrm", {"bottom_mlp": WIDTHS, "top_mlp": WIDTHS, "batch_norm": True}, 21664241),
    ("criteo", "autoint", attention(3, 256, 4, layer_norm=True, use_scale=True, use_wide=True), 23364453),
    ("criteo", "autoint_plus", attention(3, 256, 2, layer_norm=True, use_wide=True, **DEEP), 23844454),
]  # fmt: skip


@pytest.mark.parametrize(("data", "name", "settings", "parameters"), RUNS, ids=[f"{run[1]}-{run[0]}" for run in RUNS])
def test_parameter_count_is_the_published_one(data: str, name: str, settings: dict[str, Any], parameters: int) -> None:
    published = DATA[data]
    values = yaml.safe_load((shipped() / "model" / f"{name}.yaml").read_text())
    assert settings.keys() <= values.keys()
    cardinalities = [published.rows - published.fields + 1, *[1] * (published.fields - 1)]
    with torch.device("meta"):  # sizes without memory
        embedding = SingleEmbedding.empty(cardinalities, DIM)
        model = models.build(ModelSection.model_validate({**values, **settings}), embedding, published.numeric)
    assert sum(p.numel() for p in model.parameters()) == parameters

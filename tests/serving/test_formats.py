"""What is written gives the logits of the model, for batches of any size, in every format."""

import copy
from pathlib import Path

import pytest
import torch
import yaml

from mlet_bench import models
from mlet_bench.commands.help_text import choices
from mlet_bench.config import EMBEDDINGS
from mlet_bench.embedding import SingleEmbedding, build
from mlet_bench.embedding.quantized import QuantizedTable, quantize_tables
from mlet_bench.models import CTRModel
from mlet_bench.models.layers import MLP
from mlet_bench.models.linear import Linear
from mlet_bench.serving import FORMATS
from mlet_bench.serving.format import Program
from mlet_bench.serving.network import QuantizedLinear, quantize_network
from mlet_bench.system.shipped import shipped
from tests.embedding.test_pool import CARDINALITIES, Toy, batch, trained
from tests.models.small import rows, section, small_model

FIELDS, NUMERIC = 3, 2
MODELS = sorted(choices("model"))
MODES = ("hash", "qr", "mixed", "tt", "robe", "dhe", "cafe", "adaembed", "fiited", "lpt", "alpt", "pep")
ALWAYS = ("autoint_plus", "dcn", "deepfm", "dlrm", "xdeepfm", "cafe", "fiited", "lpt", "pep", "qr", "robe")
"""Models and modes that are always exported as pt2, and of them as ONNX: the others are near-equal to one of them."""
ONNX = ("autoint_plus", "fiited")


def assert_same(tmp_path: Path, kind: str, model: CTRModel, ids_BF: torch.Tensor, numeric_BN: torch.Tensor) -> None:
    expected_B = model(ids_BF, numeric_BN).detach()
    program = Program(copy.deepcopy(model), numeric_BN.shape[1])
    FORMATS[kind].write(tmp_path, program)
    with torch.no_grad():
        run = FORMATS[kind].read(tmp_path, program)
        for batch in (1, 2, len(ids_BF)):
            found_B = run(ids_BF[:batch], numeric_BN[:batch])
            torch.testing.assert_close(found_B, expected_B[:batch], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("numeric", [NUMERIC, 0])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(pytest.param("pt2", name, marks=[] if name in ALWAYS else pytest.mark.more) for name in MODELS),
        *(pytest.param("onnx", name, marks=[] if name in ONNX else pytest.mark.more) for name in MODELS),
        *(pytest.param("safetensors", name, marks=pytest.mark.more) for name in MODELS),
    ],
)
def test_every_model(tmp_path: Path, kind: str, name: str, numeric: int) -> None:
    if numeric == 0 and name not in ("dcn", "lr"):
        pytest.skip("models without numeric columns: one with an MLP and one without stand for all")
    assert_same(tmp_path, kind, small_model(name, FIELDS, numeric), *rows(9, FIELDS, numeric))


def served(mode: str, **changes: object) -> CTRModel:
    """A small model over what a mode serves after a few steps."""
    values = yaml.safe_load((shipped() / "emb" / f"{mode}.yaml").read_text())
    ratio = 1.0 if mode in ("lpt", "alpt") else 0.6
    own = {"hashes": 8, "layers": 2} if mode == "dhe" else {}
    given = EMBEDDINGS[mode].model_validate({**values, **own, "dim": 4, "ratio": ratio, "min_rows": 50, **changes})
    torch.manual_seed(0)
    model = trained(build(given, CARDINALITIES), given, 4, "sgd" if mode in ("lpt", "alpt") else "adam")
    return Toy(model.eval().embedding.collapse())


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(pytest.param("pt2", mode, marks=[] if mode in ALWAYS else pytest.mark.more) for mode in MODES),
        *(pytest.param("onnx", mode, marks=[] if mode in ONNX else pytest.mark.more) for mode in MODES),
        *(pytest.param("safetensors", mode, marks=pytest.mark.more) for mode in MODES),
    ],
)
def test_every_mode(tmp_path: Path, kind: str, mode: str) -> None:
    ids_BF = torch.cat([batch(7), batch(8)])
    model = served(mode)
    assert model(ids_BF, torch.empty(48, 0)).std() > 0
    assert_same(tmp_path, kind, model, ids_BF, torch.empty(48, 0))


@pytest.mark.parametrize(
    ("mode", "changes"), [("lpt", {"bits": 4, "min_rows": 1}), ("pep", {"ratio": 0.05, "min_rows": 1})]
)
def test_what_onnx_has_no_operator_for(tmp_path: Path, mode: str, changes: dict[str, object]) -> None:
    """Two integers in a byte, and a search among sorted places."""
    assert_same(tmp_path, "onnx", served(mode, **changes), torch.cat([batch(7), batch(8)]), torch.empty(48, 0))


@pytest.mark.parametrize(("kind", "bits"), [("pt2", 8), ("onnx", 4), ("safetensors", 8)])
def test_tables_of_integers_are_read_as_integers(tmp_path: Path, kind: str, bits: int) -> None:
    """deepfm has first-order weights beside its vectors; the file is as much smaller as its tables are."""
    torch.manual_seed(0)
    embedding = SingleEmbedding.from_weights([4000, 900, 100], torch.randn(5000, 15))
    model = models.build(section("deepfm"), embedding, NUMERIC).eval()
    model.linear.fields.table.weight.data.normal_()  # type: ignore[union-attr, operator]
    (tmp_path / "whole").mkdir()
    FORMATS[kind].write(tmp_path / "whole", Program(copy.deepcopy(model), NUMERIC))
    quantize_tables(model, bits)
    (tmp_path / "small").mkdir()
    generator = torch.Generator().manual_seed(1)
    ids_BF = torch.stack([torch.randint(0, count, (9,), generator=generator) for count in (4000, 900, 100)], 1)
    assert_same(tmp_path / "small", kind, model, ids_BF, torch.randn(9, NUMERIC))
    whole, small = (sum(path.stat().st_size for path in (tmp_path / name).iterdir()) for name in ("whole", "small"))
    of_a_row = 15 + 1 if bits == 8 else 8 + 1  # vector and first-order weight; an odd width fills half a byte
    assert 0.8 < (whole - small) / (5000 * (4 * 16 - of_a_row)) <= 1  # the graph that reads integers is larger


@pytest.mark.parametrize(("kind", "name"), [("pt2", "dlrm"), ("safetensors", "dcn")])
def test_networks_of_integers_are_near_those_of_numbers(tmp_path: Path, kind: str, name: str) -> None:
    model = small_model(name, FIELDS, NUMERIC)
    whole_B = model(*rows(9, FIELDS, NUMERIC)).detach()
    quantize_network(model)
    assert any(isinstance(part, QuantizedLinear) for part in model.modules())
    assert not any(type(layer) is Linear for part in model.modules() if isinstance(part, MLP) for layer in part)
    assert_same(tmp_path, kind, model, *rows(9, FIELDS, NUMERIC))
    change = (model(*rows(9, FIELDS, NUMERIC)) - whole_B).abs().max()
    assert 0 < change < 0.02 * whole_B.abs().max()


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("mode", ["single", "fiited"])
def test_integers_stand_for_the_nearest_multiples_of_a_scale(mode: str, bits: int) -> None:
    """A scale for each field, or one for all where rows lie in no order of fields."""
    torch.manual_seed(0)
    model = served(mode) if mode == "fiited" else Toy(SingleEmbedding(CARDINALITIES, dim=4, init_std=1.0))
    before = copy.deepcopy(model)
    quantize_tables(model, bits)
    tables = [part for part in model.modules() if isinstance(part, QuantizedTable)]
    assert [len(table.scale_F) for table in tables] == ([2] if mode == "single" else [1, 1])
    ids_BF = torch.stack([torch.arange(40), torch.arange(40)], 1)
    exact_BFD, found_BFD = before.embedding(ids_BF), model.embedding(ids_BF)
    for field in (0, 1):
        scale = tables[0].scale_F[field] if mode == "single" else min(table.scale_F.max() for table in tables)
        unit = found_BFD[:, field] / scale
        if mode == "single":
            torch.testing.assert_close(unit, unit.round(), atol=1e-4, rtol=0)
            limit = 2 ** (bits - 1) - 1
            torch.testing.assert_close(unit, (exact_BFD[:, field] / scale).round().clamp(-limit, limit), atol=1e-4,
                                       rtol=0)  # fmt: skip
    assert (exact_BFD - found_BFD).abs().max() < (0.05 if bits == 8 else 0.6)

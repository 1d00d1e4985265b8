"""Modes that store fewer numbers: vectors and gradients against slow references, sizes against their formulas."""

import itertools
import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from mlet_bench.config import EMBEDDINGS, EmbConfig
from mlet_bench.config.base import convert
from mlet_bench.config.emb_base import SmallerEmbConfig
from mlet_bench.embedding import Embedding, SingleEmbedding, build, empty_served
from mlet_bench.embedding.dhe import DHEEmbedding, network_numbers
from mlet_bench.embedding.mixed import ProjectedEmbedding, widths
from mlet_bench.embedding.parts import PartedEmbedding
from mlet_bench.embedding.qr import QREmbedding
from mlet_bench.embedding.robe import PLACE, SIGN, ROBEEmbedding
from mlet_bench.embedding.tt import TTEmbedding, row_factors, width_factors
from mlet_bench.errors import UserError
from mlet_bench.training.optimizers import Optimizers
from tests.conftest import train_config
from tests.training.test_optimizers import Toy

CARDINALITIES = (40, 7, 90)
OWN: dict[str, dict[str, Any]] = {
    "hash": {},
    "qr": {"compose": "product", "start": "symmetric"},
    "mixed": {},
    "tt": {},
    "robe": {"piece": 2},
    "dhe": {"hashes": 8, "layers": 2},
}
ROWS = ["hash", "qr", "mixed"]
LARGE = (100_000, 40, 250_000, 947)


def config(mode: str, **changes: Any) -> EmbConfig:
    values = {"mode": mode, "dim": 4, "inner": None, "lr": None, "l2": 0.0, "l2_on": "factors", "l2_rows": "batch",
              "init_std": None, "ratio": 0.6, "min_rows": 10, **OWN.get(mode, {}), **changes}  # fmt: skip
    section = EMBEDDINGS[mode]
    return section.model_validate({key: value for key, value in values.items() if key in section.model_fields})


def ids(rows: int = 12, cardinalities: tuple[int, ...] = CARDINALITIES) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.stack([torch.randint(0, count, (rows,), generator=generator) for count in cardinalities], 1)


def built(mode: str, cardinalities: tuple[int, ...] = CARDINALITIES, **changes: Any) -> Embedding:
    torch.manual_seed(0)
    return build(config(mode, **changes), cardinalities)


def numbers(emb: Embedding) -> int:
    return emb.bytes // 4


def slow_vector(emb: Any, field: int, i: int) -> Tensor:
    """One vector, by the formula of its mode, with Python's whole numbers."""
    if isinstance(emb, PartedEmbedding):
        group = next(place for place, fields in enumerate(emb.groups) if field in fields)
        return slow_vector(emb.parts[group], emb.groups[group].index(field), i)
    if isinstance(emb, QREmbedding):
        c = emb.quotients.fields.divisors[field]
        q, r = (slow_vector(part, field, row) for part, row in ((emb.quotients, i // c), (emb.remainders, i % c)))
        return {"product": q * r, "sum": q + r, "concat": torch.cat([q, r])}[emb.compose]
    if isinstance(emb, ProjectedEmbedding):
        return slow_vector(emb.narrow, field, i) @ emb.matrix_FRD[field]
    if isinstance(emb, TTEmbedding):
        (p1, p2, p3), (q1, q2, q3), r = row_factors(emb.cardinalities[field]), emb.widths, emb.rank
        begins = [sum(row_factors(count)[core] for count in emb.cardinalities[:field]) for core in range(3)]
        assert p1 * p2 * p3 >= emb.cardinalities[field]
        g1, g2, g3 = (
            core[begin + place]
            for core, begin, place in zip(emb.cores, begins, (i // (p2 * p3), i // p3 % p2, i % p3), strict=True)
        )
        return torch.einsum("ar,rbs,sc->abc", g1.view(q1, r), g2.view(r, q2, r), g3.view(r, q3)).flatten()
    if isinstance(emb, ROBEEmbedding):
        category = sum(emb.cardinalities[:field]) + i
        entries, prime = [], 2**31 - 1
        for c in range(emb.dim // emb.piece):
            place, sign = (
                ((category * a + b) % prime * a2 + b2 * (c + 1) % 2**30) % prime for a, b, a2, b2 in (PLACE, SIGN)
            )
            for z in range(emb.piece):
                entries.append(emb.array[(place % len(emb.array) + z) % len(emb.array)] * (1 - 2 * (sign >> 15 & 1)))
        return torch.stack(entries)
    if isinstance(emb, SingleEmbedding):
        offset = sum(emb.fields.counts[:field])
        return emb.table.weight[offset + i]
    return emb.w1.weight[sum(emb.fields.counts[:field]) + i] @ emb.w2_FKD[field]  # MLET


def slow_vectors(emb: Embedding, ids_BF: Tensor) -> Tensor:
    return torch.stack([torch.stack([slow_vector(emb, field, i) for field, i in enumerate(row)]) for row in
                        ids_BF.tolist()])  # fmt: skip


CASES = [
    ("qr", {}),
    ("qr", {"compose": "sum"}),
    ("qr", {"compose": "concat"}),
    ("qr", {"start": "dlrm"}),
    ("qr", {"inner": 5}),
    ("mixed", {}),
    ("mixed", {"inner": 5}),
    ("tt", {}),
    ("robe", {}),
    ("robe", {"piece": 4}),
]


@pytest.mark.parametrize(("mode", "changes"), CASES)
@pytest.mark.parametrize("by_rows", [False, True])
def test_vectors_and_gradients_are_those_of_the_formula(mode: str, changes: dict[str, Any], by_rows: bool) -> None:
    emb = built(mode, **changes).double()
    slow_BFD = slow_vectors(emb, ids())
    torch.testing.assert_close(emb(ids()), slow_BFD, rtol=1e-12, atol=1e-12)
    out_BFD = torch.randn(slow_BFD.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    slow = torch.autograd.grad((slow_BFD * out_BFD).sum(), list(emb.parameters()))
    if by_rows:
        optimizers = Optimizers(Toy(emb), train_config(optimizer="sgd", lr=1.0), config(mode, **changes))
    before = [p.detach().clone() for p in emb.parameters()]
    (emb(ids()) * out_BFD).sum().backward()
    if by_rows:
        optimizers.step()
        moved = [old - p.detach() for old, p in zip(before, emb.parameters(), strict=True)]
    else:
        moved = [p.grad for p in emb.parameters()]
    for gradient, reference in zip(moved, slow, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-9)


def slow_dhe(emb: DHEEmbedding, categories: list[int], *, training: bool) -> Tensor:
    """Vectors of these categories of all fields together, by the paper's formula, hashes in Python's numbers."""
    pairs = list(zip(emb.factor_H.tolist(), emb.shift_H.tolist(), strict=True))
    x = torch.tensor([
        [(a * category + b) % (2**31 - 1) % 1_000_000 * 2 / 999_999 - 1 for a, b in pairs] for category in categories
    ], dtype=torch.float64)  # fmt: skip
    *hidden, last = emb.network
    for linear, norm in zip(hidden[::3], hidden[1::3], strict=True):
        x = x @ linear.weight.T + linear.bias
        mean, variance = (x.mean(0), x.var(0, correction=0)) if training else (norm.running_mean, norm.running_var)
        x = (x - mean) / (variance + 1e-5) ** 0.5 * norm.weight + norm.bias
        x = x * torch.tanh(torch.log(1 + torch.exp(x)))
    return x @ last.weight.T + last.bias


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_deep_hashes_and_their_gradients_are_those_of_the_formula(training: bool, by_rows: bool) -> None:
    """Statistics are those of the places of a batch, or in a step of its different ids."""
    torch.manual_seed(0)
    emb = DHEEmbedding(CARDINALITIES, 4, 6, 8, 2, 0.1).double()
    for part in emb.network:
        if isinstance(part, torch.nn.BatchNorm1d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    if by_rows:
        Optimizers(Toy(emb), train_config(), config("dhe"))
    categories = [sum(CARDINALITIES[:field]) + i for row in ids().tolist() for field, i in enumerate(row)]
    different = sorted(set(categories)) if by_rows else categories
    places = [different.index(category) for category in categories] if by_rows else list(range(len(categories)))
    slow_BFD = slow_dhe(emb, different, training=training)[places].view(*ids().shape, 4)
    found_BFD = emb.train(training)(ids())
    torch.testing.assert_close(found_BFD, slow_BFD, rtol=1e-9, atol=1e-9)
    out_BFD = torch.randn(slow_BFD.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    weights = list(emb.parameters())
    found, slow = (torch.autograd.grad((vectors * out_BFD).sum(), weights) for vectors in (found_BFD, slow_BFD))
    for gradient, reference in zip(found, slow, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", OWN)
@pytest.mark.parametrize("inner", [None, 5])
def test_collapsed_it_lies_on_the_same_device(mode: str, inner: int | None) -> None:
    with torch.device("meta"):
        emb = build(config(mode, **({"inner": inner} if mode in ROWS else {})), CARDINALITIES)
    served = emb.collapse()
    assert {value.device.type for value in (*served.parameters(), *served.buffers())} == {"meta"}


@pytest.mark.parametrize("mode", OWN)
@pytest.mark.parametrize("inner", [None, 5])
def test_collapsed_it_gives_the_same_vectors_and_loads_into_an_empty_one(mode: str, inner: int | None) -> None:
    if inner is not None and mode not in ROWS:
        with pytest.raises(UserError, match=f"emb={mode} reads no rows"):
            convert(EMBEDDINGS[mode], config(mode).model_dump() | {"inner": inner}, "emb")
        return
    emb = built(mode, inner=inner).eval()
    served = emb.collapse()
    torch.testing.assert_close(served(ids()), emb(ids()), rtol=1e-5, atol=1e-6)
    empty = empty_served(config(mode, inner=inner), CARDINALITIES)
    empty.load_state_dict(served.state_dict(), strict=True)
    assert torch.equal(empty.eval()(ids()), served(ids()))


@pytest.mark.parametrize("mode", OWN)
def test_a_ratio_of_one_is_the_standard_embedding_bit_for_bit(mode: str) -> None:
    if mode == "dhe":
        pytest.skip("a network of any width is no table")
    assert torch.equal(built(mode, ratio=1.0)(ids()), built("single")(ids()))


@pytest.mark.parametrize("mode", OWN)
@pytest.mark.parametrize("ratio", [0.5, 0.1, 0.01])
def test_numbers_are_at_most_the_ratio_and_not_far_below(mode: str, ratio: float) -> None:
    changes: dict[str, Any] = {"dim": 16, "ratio": ratio, "min_rows": 100}
    if mode == "mixed" and ratio < 1 / 16:
        pytest.skip("rows are one number wide at least")
    with torch.device("meta"):
        emb = build(config(mode, **changes), LARGE)
    table = 16 * sum(LARGE)
    least = {"qr": 0.5, "mixed": 0.45, "tt": 0.6, "dhe": 0.9}.get(mode, 0.999)
    assert least * ratio * table < numbers(emb) <= ratio * table


def test_numbers_follow_the_formulas() -> None:
    with torch.device("meta"):
        qr, mixed, tt, robe, dhe = (
            build(config(mode, dim=16, ratio=0.1, min_rows=100), LARGE) for mode in list(OWN)[1:]
        )
    whole = 16 * 40
    divisors = qr.parts[1].quotients.fields.divisors
    assert numbers(qr) == whole + 16 * sum(
        math.ceil(n / c) + c for n, c in zip((100_000, 250_000, 947), divisors, strict=True)
    )
    assert numbers(robe) == int(0.1 * 16 * sum(LARGE) + 1e-6)
    train = next(part for part in tt.parts[1].parts if isinstance(part, TTEmbedding))
    (q1, q2, q3), r = width_factors(16), train.rank
    assert sum(core.numel() for core in train.cores) == sum(
        p1 * q1 * r + p2 * q2 * r * r + p3 * q3 * r for p1, p2, p3 in map(row_factors, train.cardinalities)
    )
    network = dhe.parts[1]
    assert isinstance(network, DHEEmbedding)
    assert network.bytes == 4 * network_numbers(network.network[0].out_features, 16, 8, 2)
    assert mixed.dim == 16


def test_widths_of_mixed_dimensions_fall_with_the_size() -> None:
    assert widths([100, 10_000, 1_000_000], 16, 0.3) == [16, 4, 1]  # 16, 4.02, 1.01


def test_a_tensor_train_of_full_rank_is_any_table() -> None:
    torch.manual_seed(0)
    table = torch.randn(27, 8, dtype=torch.float64)
    emb = TTEmbedding([27], 8, rank=6, std=1.0).double()
    (p1, p2, p3), (q1, q2, q3) = row_factors(27), width_factors(8)
    unfolded = table.view(p1, p2, p3, q1, q2, q3).permute(0, 3, 1, 4, 2, 5).reshape(p1 * q1, -1)
    left, s, right = torch.linalg.svd(unfolded, full_matrices=False)
    assert len(s) == 6
    second = (s[:, None] * right).reshape(6 * p2 * q2, p3 * q3)
    middle, s2, last = torch.linalg.svd(second, full_matrices=False)
    assert len(s2) == 6
    with torch.no_grad():
        emb.cores[0].copy_(left.reshape(p1, q1 * 6))
        emb.cores[1].copy_((middle * s2).reshape(6, p2, q2, 6).permute(1, 0, 2, 3).reshape(p2, -1))
        emb.cores[2].copy_(last.reshape(6, p3, q3).permute(1, 0, 2).reshape(p3, -1))
    torch.testing.assert_close(emb(torch.arange(27)[:, None])[:, 0], table, rtol=1e-10, atol=1e-10)


def test_robe_without_collision_is_a_full_table() -> None:
    emb = ROBEEmbedding([3], 4, size=5000, piece=4, std=1.0)
    begins, signs = emb.begins(torch.arange(3), torch.zeros(3, dtype=torch.long))
    assert min(abs(a - b) for a, b in itertools.combinations(begins[:, 0].tolist(), 2)) >= 4
    table_ND = torch.randn(3, 4)
    with torch.no_grad():
        for row, (begin, sign) in enumerate(zip(begins[:, 0].tolist(), signs[:, 0].tolist(), strict=True)):
            emb.array[torch.arange(begin, begin + 4) % 5000] = table_ND[row] * sign
    torch.testing.assert_close(emb(torch.arange(3)[:, None])[:, 0], table_ND)


def test_robes_gradient_is_the_same_again_with_several_threads() -> None:
    emb = ROBEEmbedding([200_000], 16, size=1000, piece=16, std=1.0)
    weight_U1D, gradients, threads = torch.randn(200_000, 1, 16), [], torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        for _ in range(3):
            emb.array.grad = None
            (emb(torch.arange(200_000)[:, None]) * weight_U1D).sum().backward()
            gradients.append(emb.array.grad)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)


@pytest.mark.parametrize(("mode", "changes"), [*CASES, ("dhe", {})])
def test_vectors_start_with_the_standard_embeddings_variance(mode: str, changes: dict[str, Any]) -> None:
    if changes.get("start") == "dlrm":
        pytest.skip("as its code draws it")
    cardinalities = (5000, 5000)
    emb = built(mode, cardinalities, ratio=0.5, dim=16, **changes)
    ids_BF = torch.arange(5000)[:, None].expand(-1, 2)
    found = float(emb(ids_BF).detach().std())
    assert found == pytest.approx((3 * 5000) ** -0.5, rel=0.25)


SMALLER = [mode for mode, section in EMBEDDINGS.items() if issubclass(section, SmallerEmbConfig)]


@pytest.mark.parametrize("mode", SMALLER)
@pytest.mark.parametrize("cardinalities", [LARGE, (9, 3), (1, 2, 5), (40, 7, 90), (33_762, 17, 1_000_003), (130_411,)])
@pytest.mark.parametrize("min_rows", [0, 50])
def test_the_smallest_ratio_that_is_said_is_reached(mode: str, cardinalities: tuple[int, ...], min_rows: int) -> None:
    """And what is then served is no smaller than it has to be, but for the digits of the ratio."""
    own = {
        **{"dim": 16, "min_rows": min_rows, "pieces": 2, "check_every": 5, "decay": 0.9, "changed": 0.0},
        **{"hash_share": None, "threshold": None, "bits": 8, "scale": 0.01, "scale_lr": 0.1},
        **{"thresholds": "feature", "threshold_start": -8.0},
    }
    with pytest.raises(UserError, match=r"^emb\.ratio=1e-09: ") as refused, torch.device("meta"):
        build(config(mode, ratio=1e-9, **own), cardinalities)
    allowed = r"allowed(?: with them)?: ([\d.e-]+)( to 1)?(; with emb\.bits=4: [\d.e-]+( to 1)?)?$"
    smallest = re.search(allowed, str(refused.value))
    assert smallest
    ratio = float(smallest[1])
    with torch.device("meta"):
        served = empty_served(config(mode, ratio=ratio, **own), cardinalities).bytes / (64 * sum(cardinalities))
    assert served <= ratio
    assert served > 0.9 * ratio - 1.1e-4

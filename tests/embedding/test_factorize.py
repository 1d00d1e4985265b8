"""Other people's models: tables made products in place, trained by their own loop, and made plain again."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mlet_bench import collapse, factorize
from mlet_bench.embedding.factorize import FactorizedEmbedding

IDS = torch.tensor([[1, 0], [2, 5], [0, 3], [2, 4]])


class Theirs(nn.Module):
    """A table with a padding index, a bag, one table that stands in two places, and a frozen one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.users = nn.Embedding(6, 4, padding_idx=0)
        self.words = nn.EmbeddingBag(6, 4, mode="mean")
        self.items = nn.ModuleDict({"seen": nn.Embedding(6, 4)})
        self.items["bought"] = self.items["seen"]
        self.fixed = nn.Embedding(6, 4).requires_grad_(False)
        self.out = nn.Linear(16, 1)

    def forward(self, ids: Tensor) -> Tensor:
        first, second = ids.unbind(1)
        vectors = [self.users(first), self.words(ids), self.items["seen"](first) + self.items["bought"](second)]
        logit_B: Tensor = self.out(torch.cat([*vectors, self.fixed(second)], 1)).squeeze(1)
        return logit_B


def trained(model: nn.Module, optimizer: type[torch.optim.Optimizer] = torch.optim.Adam, steps: int = 5) -> nn.Module:
    moving = optimizer(model.parameters(), lr=0.05)
    for _ in range(steps):
        moving.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(IDS), torch.tensor([0.0, 1.0, 1.0, 0.0])).backward()
        moving.step()
    return model


@pytest.mark.parametrize("inner", [4, 9])
def test_outputs_stay_until_it_trains_and_the_start_has_the_tables_spread(inner: int) -> None:
    model = Theirs()
    wide = nn.Embedding(5_000, 4)
    before = model(IDS)
    assert factorize(model, inner) == ["users", "words", "items.seen"]
    torch.testing.assert_close(model(IDS), before)
    assert isinstance(model.users, nn.Embedding)
    assert isinstance(model.words, nn.EmbeddingBag)
    assert model.items["seen"] is model.items["bought"]
    assert not model.users.weight[0].any()
    factorize(nn.Sequential(wide), 64)
    assert isinstance(wide, FactorizedEmbedding)
    assert wide.w1_NK.std().item() == pytest.approx(1, abs=0.2)  # of nn.Embedding's normal start
    assert float(wide.w2_KD.square().mean()) == pytest.approx(1 / 64)


def test_a_width_below_that_of_the_table_starts_at_its_best_approximation() -> None:
    model = Theirs()
    left, values, right = torch.linalg.svd(model.words.weight.detach(), full_matrices=False)
    values[2:] = 0
    factorize(model, 2, filter=lambda name, module: name == "words")
    torch.testing.assert_close(model.words.weight, left @ values.diag() @ right)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD, torch.optim.Adagrad, torch.optim.AdamW])
def test_collapse_gives_the_names_the_shapes_and_the_logits_back(optimizer: type[torch.optim.Optimizer]) -> None:
    model = Theirs()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    factorize(model, 8)
    trained(model, optimizer)
    plain = collapse(model)
    assert {name: value.shape for name, value in plain.state_dict().items()} == {
        name: value.shape for name, value in start.items()
    }
    for name in ("users.weight", "words.weight", "items.seen.weight", "out.weight"):
        assert not torch.equal(plain.state_dict()[name], start[name])
    assert torch.equal(plain.state_dict()["fixed.weight"], start["fixed.weight"])
    assert not plain.users.weight[0].any()
    assert (type(plain.users), type(plain.words)) == (nn.Embedding, nn.EmbeddingBag)
    assert plain.items["seen"] is plain.items["bought"]
    torch.testing.assert_close(plain(IDS), model(IDS), rtol=0, atol=1e-6)
    assert isinstance(model.users, FactorizedEmbedding)
    Theirs().load_state_dict(plain.state_dict(), strict=True)
    trained(plain)
    collapse(plain)  # nothing is left to multiply out: a copy


def test_training_a_product_is_training_an_embedding_and_a_linear_layer() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(6, 4)).double()
    factorize(model, 7)
    table, linear = nn.Embedding(6, 7).double(), nn.Linear(7, 4, bias=False).double()
    table.weight.data, linear.weight.data = model[0].w1_NK.data.clone(), model[0].w2_KD.data.t().clone()
    pairs = []
    for forward, parameters in (
        (model, list(model.parameters())),
        (lambda ids: linear(table(ids)), [table.weight, linear.weight]),
    ):
        moving = torch.optim.Adam(parameters, lr=0.01)
        for _ in range(50):
            moving.zero_grad()
            forward(IDS).sin().sum().backward()
            moving.step()
        pairs.append(forward(IDS))
    torch.testing.assert_close(*pairs, rtol=0, atol=1e-10)


def sparse(model: Theirs) -> None:
    model.users = nn.Embedding(6, 4, sparse=True)


def test_sparse_gradients_stay_sparse() -> None:
    model = Theirs()
    sparse(model)
    factorize(model, 8, filter=lambda name, module: name == "users")
    model(IDS).sum().backward()
    assert model.users.w1_NK.grad is not None
    assert model.users.w1_NK.grad.is_sparse


def test_bags_with_offsets_weights_and_padding() -> None:
    torch.manual_seed(0)
    bag = nn.EmbeddingBag(6, 4, mode="sum", include_last_offset=True, padding_idx=2)
    given = torch.tensor([1, 2, 5, 5]), torch.tensor([0, 3, 4]), torch.rand(4)
    before = bag(*given)
    factorize(nn.Sequential(bag), 8)
    torch.testing.assert_close(bag(*given), before)


def tied(model: Theirs) -> None:
    model.head = nn.Linear(4, 6, bias=False)
    model.head.weight = model.users.weight  # type: ignore[assignment]


def padded(model: Theirs) -> None:
    with torch.no_grad():
        model.users.weight[0] = 1


def normed(model: Theirs) -> None:
    with pytest.deprecated_call():
        torch.nn.utils.weight_norm(model.users)


class Own(nn.Embedding):
    """Somebody's own lookup."""


REFUSED: dict[str, tuple[Callable[[Theirs], object], str]] = {
    "max_norm": (lambda model: setattr(model, "users", nn.Embedding(6, 4, max_norm=1.0)), "users: has max_norm"),
    "frequency": (
        lambda model: setattr(model, "users", nn.Embedding(6, 4, scale_grad_by_freq=True)),
        "users: has scale_grad_by_freq",
    ),
    "maximum": (lambda model: setattr(model, "words", nn.EmbeddingBag(6, 4, mode="max")), "words: takes the maximum"),
    "tied": (tied, "users: shares its weight"),
    "padding": (padded, "users: has a padding vector"),
    "weight norm": (normed, "users: has a weight that other parameters make"),
    "own class": (lambda model: setattr(model, "users", Own(6, 4)), "users: is a Own"),
    "twice": (lambda model: factorize(model, 8), "users: is a product of two factors already"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_product_cannot_do_is_refused_by_name(case: str) -> None:
    model = Theirs()
    harm, expected = REFUSED[case]
    harm(model)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=expected):
        factorize(model, 8)
    assert model.state_dict().keys() == before.keys()


def test_a_frozen_table_stays_whatever_it_has() -> None:
    vectors = torch.ones(6, 4)
    model = nn.ModuleList([nn.Embedding(6, 4), nn.Embedding.from_pretrained(vectors, padding_idx=0, max_norm=1.0)])
    assert factorize(model, 8) == ["0"]
    assert type(model[1]) is nn.Embedding


def test_vectors_have_the_type_of_the_table_under_autocast() -> None:
    model = Theirs()
    factorize(model, 8)
    with torch.autocast("cpu", torch.bfloat16):
        vectors = (model.users(IDS), model.words(IDS), model.users.weight)
    assert {vector.dtype for vector in vectors} == {torch.float32}


def test_nothing_to_factorize_and_factors_that_are_not_finite() -> None:
    with pytest.raises(ValueError, match="no table to factorize"):
        factorize(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="inner=0"):
        factorize(Theirs(), 0)
    model = Theirs()
    factorize(model, 8)
    model.words.w2_KD.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="words: its factors are not finite"):
        collapse(model)


class Counting(Theirs):
    def __init__(self) -> None:
        super().__init__()
        self.lookups = 0
        self.users.register_forward_hook(self.count)

    def count(self, *_: object) -> None:
        self.lookups += 1


def test_hooks_training_state_and_dtype_are_kept() -> None:
    model = Counting().double().eval()
    factorize(model, 8)
    model(IDS)
    plain = collapse(model)
    plain(IDS)
    plain(IDS)
    assert (model.lookups, plain.lookups) == (1, 3)  # a hook of the copy belongs to the copy
    assert (plain.users.weight.dtype, plain.users.training, plain.users.padding_idx) == (torch.float64, False, 0)

"""AutoInt and AutoInt+ against the formulas of their paper."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mlet_bench import models
from mlet_bench.errors import UserError
from tests.models.reference import Weights, compare, first_order, perceptron, shapes, vectors
from tests.models.small import section, small_model


def interacting(
    weights: Weights, prefix: str, vectors: list[Tensor], *, heads: int, scaled: bool, residual: bool
) -> list[Tensor]:
    query, key, value = (weights[f"{prefix}{name}.weight"] for name in ("query", "key", "value"))
    width = len(query) // heads
    out = []
    for vector in vectors:
        parts = []
        for head in range(heads):
            own = slice(head * width, (head + 1) * width)
            psi = [(query[own] @ vector) @ (key[own] @ other) for other in vectors]
            if scaled:
                psi = [one / width**0.5 for one in psi]
            total = sum(one.exp() for one in psi)
            parts.append(sum(one.exp() / total * (value[own] @ other) for one, other in zip(psi, vectors, strict=True)))
        new = torch.cat(parts)
        if residual:
            projection = weights.get(f"{prefix}residual.weight")
            new = new + (vector if projection is None else projection @ vector)
        if f"{prefix}norm.weight" in weights:
            new = (new - new.mean()) / (new.var(correction=0) + 1e-5).sqrt()
            new = new * weights[f"{prefix}norm.weight"] + weights[f"{prefix}norm.bias"]
        out.append(torch.relu(new))
    return out


@pytest.mark.parametrize("options", [
    {},
    {"use_scale": True, "layer_norm": True, "use_wide": True},
    {"use_residual": False},
    {"attention_dim": 4, "attention_heads": 1},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("name", ["autoint", "autoint_plus"])
@shapes
def test_forward_and_gradients_equal_the_slow_reference(
    batch: int, fields: int, numeric: int, name: str, options: dict[str, Any]
) -> None:
    how = {
        "heads": options.get("attention_heads", 2),
        "scaled": options.get("use_scale", False),
        "residual": options.get("use_residual", True),
    }

    def slow(weights: Weights, ids_F: Tensor, numeric_N: Tensor) -> Tensor:
        start = seen = vectors(weights, ids_F, numeric_N)
        for layer in range(2):
            seen = interacting(weights, f"interacting.{layer}.", seen, **how)
        logit = weights["out.weight"][0] @ torch.cat(seen) + weights["out.bias"][0]
        if options.get("use_wide"):
            logit = logit + first_order(weights, ids_F, numeric_N)
        if name == "autoint_plus":
            logit = logit + perceptron(weights, "deep.", torch.cat(start), output=True)
        return logit

    compare(small_model(name, fields, numeric, attention_layers=2, **options), slow, batch, fields, numeric)


def test_width_of_the_heads_must_fit() -> None:
    with pytest.raises(UserError, match=r"model\.attention_dim=7: allowed: a multiple of model\.attention_heads, 2"):
        models.settings_of(section("autoint", attention_dim=7))


def test_without_a_width_of_its_own_attention_is_as_wide_as_the_vectors() -> None:
    """Their width then has to be a multiple of the heads."""
    model = small_model("autoint", 3, 2, attention_dim=None)
    assert model.interacting[0].query.weight.shape == (4, 4)
    with pytest.raises(UserError, match=r"emb\.dim=4: .* a multiple of model.attention_heads, 3"):
        small_model("autoint", 3, 2, attention_dim=None, attention_heads=3)


@pytest.mark.parametrize(("dropout_on", "shares"), [(None, {0.0, 2.0}), ("weights_and_outputs", {0.0, 4.0})])
def test_dropout_falls_on_attention_weights_alone_unless_told(dropout_on: str | None, shares: set[float]) -> None:
    """A vector alone attends to itself with weight 1, which dropout of a half makes 0 or 2 for the whole head."""
    changes = {} if dropout_on is None else {"dropout_on": dropout_on}
    layer = small_model("autoint", 1, 0, use_residual=False, dropout=0.5, **changes).interacting[0].train()
    layer.value.weight.data.abs_()
    vectors_BSD = torch.rand(400, 1, 4)
    share_BHA = (layer(vectors_BSD) / layer.value(vectors_BSD)).detach().unflatten(2, (2, -1)).squeeze(1)
    assert set(share_BHA.round(decimals=4).unique().tolist()) == shares
    heads_agree = bool((share_BHA == share_BHA[:, :, :1]).all())
    assert heads_agree == (dropout_on is None)


def test_where_dropout_falls_is_part_of_the_fingerprint_only_with_dropout() -> None:
    """Runs of before had no such setting and dropped both; without dropout they are the same runs."""
    earlier = models.chosen(section("autoint", dropout=0.1, dropout_on="weights_and_outputs"))
    assert "dropout_on" not in earlier
    assert models.chosen(section("autoint", dropout=0.1)) == {**earlier, "dropout_on": "weights"}
    assert "dropout_on" not in models.chosen(section("autoint"))

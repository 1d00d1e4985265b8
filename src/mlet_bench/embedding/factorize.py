"""MLET for models of other people: their `nn.Embedding` tables trained as products of two factors.

A table of n rows and width d becomes W1 (n × k) times W2 (k × d). The module stays the object that it was, its place
and its name too: only its class and its parameters change, as `torch.nn.utils.parametrize` does it. Rows of W1 are
looked up and multiplied, never the whole table. N rows, K inner width, D width.
"""

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlet_bench.embedding.mlet import COLLAPSE_ROWS


class _Factorized(nn.Module):
    """What both kinds share: W1, W2, and the product under the name of the table."""

    w1_NK: nn.Parameter
    w2_KD: nn.Parameter
    plain: type[nn.Module]

    @property
    def weight(self) -> Tensor:
        """The whole product, N × D, for code that reads a table; to write into it changes nothing."""
        return self.project(self.w1_NK)

    def collapsed_weight(self) -> Tensor:
        """The product taken in float64, in the type of the factors."""
        w2_KD = self.w2_KD.detach().double()
        parts = torch.split(self.w1_NK.detach(), COLLAPSE_ROWS)
        return torch.cat([(rows_NK.double() @ w2_KD).to(rows_NK.dtype) for rows_NK in parts])

    def project(self, rows_NK: Tensor) -> Tensor:
        """Times W2, in the precision of the factors also under autocast: a lookup in a table has the table's type."""
        with torch.autocast(rows_NK.device.type, enabled=False):
            return rows_NK @ self.w2_KD

    def become_plain(self) -> None:
        """The table's own class again, with what stands in W1's place for its weight."""
        weight = self.w1_NK
        del self.w1_NK, self.w2_KD
        self.__class__ = self.plain  # type: ignore[assignment]
        self.register_parameter("weight", weight)


class FactorizedEmbedding(_Factorized, nn.Embedding):  # type: ignore[override]
    """An nn.Embedding whose table is W1·W2."""

    plain = nn.Embedding

    def forward(self, input: Tensor) -> Tensor:
        rows = F.embedding(input, self.w1_NK, self.padding_idx, sparse=self.sparse)
        return self.project(rows)


class FactorizedEmbeddingBag(_Factorized, nn.EmbeddingBag):  # type: ignore[override]
    """An nn.EmbeddingBag (sum or mean) whose table is W1·W2: a sum of products is the product of the sum."""

    plain = nn.EmbeddingBag

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        bags = F.embedding_bag(
            input,
            self.w1_NK,
            offsets,
            mode=self.mode,
            sparse=self.sparse,
            per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
            padding_idx=self.padding_idx,
        )
        return self.project(bags)


KINDS: dict[type[nn.Module], type[_Factorized]] = {
    nn.Embedding: FactorizedEmbedding,
    nn.EmbeddingBag: FactorizedEmbeddingBag,
}


def factorize(
    model: nn.Module,
    inner: int = 64,
    *,
    filter: Callable[[str, nn.Module], bool] | None = None,
    generator: torch.Generator | None = None,
) -> list[str]:
    """Make the tables of a model products of two factors, in place; returns the names of their modules.

    Every `nn.Embedding` and `nn.EmbeddingBag` that trains, or those for which `filter(name, module)` is true. Make the
    optimiser afterwards: the parameters are others. `mlet_bench.collapse` gives the plain model back.

    With `inner` of at least d the product starts as the very table that was there, so no output changes. W2 is normal
    with mean square 1/k, as in `MLETEmbedding`; W1 is the table times the pseudo-inverse of W2, and a random part, of
    the table's standard deviation, that W2 takes to zero. Below d it starts as the best approximation of that rank.

    Kept: padding index, sparse gradients (of W1), modules that stand in several places, dtype, device, hooks. Frozen
    tables stay as they are. ValueError, by name and before anything is changed, for what a product cannot do:
    `max_norm`, `scale_grad_by_freq`, bags by maximum, a padding vector that is not zero, a weight that other modules
    share or that other parameters make, a subclass of PyTorch's, a table that is a product already.

    Example:
        >>> model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 1))
        >>> factorize(model, inner=8)
        ['0']
        >>> {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
        {'0.w1_NK': (10, 8), '0.w2_KD': (8, 4), '1.weight': (1, 4), '1.bias': (1,)}
    """
    if inner < 1:
        raise ValueError(f"inner={inner}: allowed: a whole number >= 1")
    owners = _owners(model)
    chosen = {}
    for name, module in model.named_modules():
        if not isinstance(module, nn.Embedding | nn.EmbeddingBag) or (filter and not filter(name, module)):
            continue
        if not any(parameter.requires_grad for parameter in module.parameters()):
            continue
        reason = _reason_against(module, owners)
        if reason is not None:
            raise ValueError(f"{name or 'the model'}: {reason}; leave it out by filter=")
        chosen[name] = module
    if not chosen:
        raise ValueError("the model has no table to factorize: no nn.Embedding or nn.EmbeddingBag that trains")
    for module in chosen.values():
        _factorize(module, inner, generator)
    return list(chosen)


def _owners(model: nn.Module) -> dict[int, set[int]]:
    """Which modules hold a parameter, by identity."""
    owners: dict[int, set[int]] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), set()).add(id(module))
    return owners


def _reason_against(module: nn.Embedding | nn.EmbeddingBag, owners: dict[int, set[int]]) -> str | None:
    if isinstance(module, _Factorized):
        return "is a product of two factors already"
    if type(module) not in KINDS:
        return f"is a {type(module).__name__}, a class of its own, whose lookup may be another"
    if "weight" not in module._parameters:
        return "has a weight that other parameters make, as weight_norm does"
    if module.max_norm is not None:
        return "has max_norm, which renormalises rows in place: a product has no rows to renormalise"
    if module.scale_grad_by_freq:
        return "has scale_grad_by_freq, which is not defined for the gradient of W2"
    if isinstance(module, nn.EmbeddingBag) and module.mode == "max":
        return "takes the maximum of a bag, which a product does not keep"
    if len(owners[id(module.weight)]) > 1:
        return "shares its weight with another module"
    if module.padding_idx is not None and module.weight[module.padding_idx].any():
        return "has a padding vector that is not zero, which W2 would move"
    return None


@torch.no_grad()
def _factorize(module: nn.Embedding | nn.EmbeddingBag, inner: int, generator: torch.Generator | None) -> None:
    table_ND = module.weight.detach()
    w1_NK, w2_KD = _factors(table_ND.double(), inner, module.padding_idx, generator)
    del module.weight
    module.__class__ = KINDS[type(module)]  # type: ignore[assignment]
    for name, factor in (("w1_NK", w1_NK), ("w2_KD", w2_KD)):
        module.register_parameter(name, nn.Parameter(factor.to(table_ND.dtype)))


def _factors(
    table_ND: Tensor, inner: int, padding: int | None, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    rows, dim = table_ND.shape
    if inner < dim:
        _, vectors_DD = torch.linalg.eigh(table_ND.t() @ table_ND)  # smallest eigenvalue first
        kept_DK = vectors_DD[:, -inner:]
        return table_ND @ kept_DK, kept_DK.t().contiguous()

    def normal(*shape: int) -> Tensor:
        drawn = torch.randn(*shape, generator=generator, device=generator.device if generator else None)
        return drawn.to(table_ND)

    w2_KD = normal(inner, dim)
    w2_KD *= math.sqrt(dim) / w2_KD.norm()  # mean square 1/k
    inverse_DK = torch.linalg.pinv(w2_KD)
    random_NK = normal(rows, inner) * table_ND.square().mean().sqrt()
    if padding is not None:
        random_NK[padding] = 0
    return random_NK.addmm_(table_ND - random_NK @ w2_KD, inverse_DK), w2_KD


def factorized(model: nn.Module) -> Iterator[tuple[str, _Factorized]]:
    """The modules of a model whose tables are products, by name."""
    for name, module in model.named_modules():
        if isinstance(module, _Factorized):
            yield name, module

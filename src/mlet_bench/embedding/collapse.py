"""Any model with its embeddings multiplied out."""

import copy
from typing import Any, TypeVar

from torch import Tensor, nn

from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.factorize import factorized

Model = TypeVar("Model", bound=nn.Module)


def collapse(model: Model) -> Model:
    """A copy of a model in which our embeddings, and tables that `factorize` made products, are plain tables.

    Products are taken in float64. What `factorize` had changed gets the names and shapes back that it had, so the
    copy's `state_dict` fits the model as it was. The model itself stays as it is. ValueError, by name, for factors that
    are not finite.

    Example:
        >>> from mlet_bench.embedding import MLETEmbedding
        >>> type(collapse(nn.Sequential(MLETEmbedding([3, 5], dim=2, inner=4)))[0]).__name__
        'SingleEmbedding'
    """
    copies: dict[int, Any] = {}  # deepcopy's memo: these stand for the copies of what they replace
    for name, part in model.named_modules():
        if isinstance(part, Embedding):
            table = part.collapse().train(part.training)
            copies[id(part)] = table.requires_grad_(any(weight.requires_grad for weight in part.parameters()))
            _check_finite(name, *table.parameters())
    for name, module in factorized(model):
        weight_ND = module.collapsed_weight()
        _check_finite(name, weight_ND)
        copies[id(module.w1_NK)] = nn.Parameter(weight_ND, requires_grad=module.w1_NK.requires_grad)
    plain = copy.deepcopy(model, copies)
    for _, module in factorized(plain):
        module.become_plain()
    return plain


def _check_finite(name: str, *weights: Tensor) -> None:
    if not all(bool(weight.isfinite().all()) for weight in weights):
        raise ValueError(f"{name or 'the model'}: its factors are not finite")

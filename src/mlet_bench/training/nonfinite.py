"""Why a training went wrong: the first tensor that is not finite, sought only when a loss was found not to be."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mlet_bench.embedding import RowTable
from mlet_bench.models import CTRModel
from mlet_bench.training.optimizers import Optimizers

COLUMN = "the numeric column"


class _FoundError(Exception):
    """Ends a forward pass at the first tensor that is not finite."""


def is_finite(tensor: Tensor) -> bool:
    """Whether all numbers are; takes no memory of the tensor's size."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    least, most = tensor.detach().aminmax()  # NaN if any number is NaN
    return bool(least.isfinite() & most.isfinite())


def nonfinite_among(named: Iterable[tuple[str, Tensor]]) -> str | None:
    """The name of the first tensor that is not finite."""
    return next((name for name, tensor in named if not is_finite(tensor)), None)


def explain_nonfinite(
    model: CTRModel, optimizers: Optimizers, columns: Sequence[str], again: Callable[[], object]
) -> str:
    """In words, the first tensor on the way to a loss that is not finite.

    In the order of time: the gradients of the step before, from the output to the input as they are computed; the
    weights that it left; then, in a repetition of the forward pass by `again`, numeric `columns` and activations.
    """
    gradient = _nonfinite_gradient(model, optimizers)
    if gradient is not None:
        return f"the gradient of {gradient} in the step before"
    weight = nonfinite_among(model.state_dict().items())
    if weight is not None:
        return f"{weight}, as the step before left it"
    return _nonfinite_activation(model, columns, again) or "the loss itself: all that it is computed from is finite"


def _nonfinite_gradient(model: CTRModel, optimizers: Optimizers) -> str | None:
    """Dense gradients are held until the next backward pass; where they are gone, and for tables, Adam's means tell."""
    state = optimizers.dense.state
    held = [(name, state[p].get("exp_avg") if p.grad is None else p.grad) for name, p in model.named_parameters()]
    dense = [(name, gradient) for name, gradient in held if gradient is not None]
    names = {id(part): name for name, part in model.named_modules() if isinstance(part, RowTable)}
    kept = [(f"{names[id(rows.table)]}.weight", rows.slots.get("mean")) for rows in optimizers.rows]
    tables = [(name, mean) for name, mean in kept if mean is not None]
    return nonfinite_among(itertools.chain(reversed(dense), reversed(tables)))


def _nonfinite_activation(model: CTRModel, columns: Sequence[str], again: Callable[[], object]) -> str | None:
    def before(_: nn.Module, given: tuple[Any, ...]) -> None:
        for name, values_B in zip(columns, given[1].unbind(1), strict=True):
            if not is_finite(values_B):
                raise _FoundError(f"{COLUMN} {name}")

    def after(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def look(_: nn.Module, __: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not is_finite(output):
                raise _FoundError(f"the output of {name}" if name else "the logit")

        return look

    handles = [model.register_forward_pre_hook(before)]
    handles += [part.register_forward_hook(after(name)) for name, part in model.named_modules()]
    try:
        with torch.no_grad():
            again()
    except _FoundError as found:
        return str(found)
    finally:
        for handle in handles:
            handle.remove()
    return None

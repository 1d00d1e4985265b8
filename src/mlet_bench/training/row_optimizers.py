"""What moves the rows of one table by their gradients, a kind for each of our optimisers."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from mlet_bench.embedding import RowTable
from mlet_bench.embedding.table import RowStep
from mlet_bench.training.adam import adam_


class RowOptimizer(ABC):
    """Moves the rows of one table by their gradients, which it switches on."""

    def __init__(self, table: RowTable, lr: float) -> None:
        self.table = table
        self.lr = lr
        self.steps = torch.zeros((), device=table.weight.device)
        self.slots: dict[str, Tensor] = {}
        """What is kept for each row, by name."""
        table.step = RowStep()

    @torch.no_grad()
    def step(self, skip: Tensor | None = None) -> None:
        """Move the rows, unless the boolean `skip` on the device says no."""
        gradient = self.table.gradient()
        if gradient is None:
            return
        self.steps += 1
        weight_UW, slots, rows = gradient.weight_UW, self.slots, gradient.rows
        if rows is not None:
            slots = {name: slot.index_select(0, rows.rows_U) for name, slot in slots.items()}
        before = None if skip is None else [values.clone() for values in (weight_UW, *slots.values())]
        self._move(weight_UW, gradient.grad_UW, **slots)
        if skip is not None and before is not None:
            for values, old in zip((weight_UW, *slots.values()), before, strict=True):
                values.copy_(torch.where(skip, old, values))
        if rows is not None:
            self.table.write(rows.rows_U, weight_UW, gradient.grad_UW)
            for name, slot in self.slots.items():
                slot.index_copy_(0, rows.rows_U, slots[name])
        self.clear()

    def clear(self) -> None:
        """Let go what was read."""
        assert self.table.step is not None
        self.table.step.clear()

    def forget(self, rows_N: Tensor) -> None:
        """These rows start anew."""
        for slot in self.slots.values():
            slot[rows_N] = 0

    @abstractmethod
    def _move(self, weight_UW: Tensor, grad_UW: Tensor, **slots: Tensor) -> None:
        """Change the rows and what is kept for them in place."""

    def state(self) -> dict[str, Tensor]:
        return {"steps": self.steps, **self.slots}


def _zeros(table: RowTable) -> Tensor:
    weight_VW = table.weight.detach()
    return torch.zeros_like(weight_VW, dtype=None if weight_VW.is_floating_point() else torch.float32)


class RowSGD(RowOptimizer):
    """w ← w - lr·g."""

    def _move(self, weight_UW: Tensor, grad_UW: Tensor, **slots: Tensor) -> None:
        weight_UW.add_(grad_UW, alpha=-self.lr)


class RowAdam(RowOptimizer):
    """Adam (Kingma and Ba 2015) with the bias correction of the number of steps taken, not of visits to a row."""

    def __init__(self, table: RowTable, lr: float) -> None:
        super().__init__(table, lr)
        self.slots = {"mean": _zeros(table), "square": _zeros(table)}

    def _move(self, weight_UW: Tensor, grad_UW: Tensor, **slots: Tensor) -> None:
        adam_(weight_UW, grad_UW, slots["mean"], slots["square"], self.steps, self.lr)


class RowAdagrad(RowOptimizer):
    """Adagrad (Duchi et al. 2011) as torch.optim.Adagrad, in which what has no gradient does not move."""

    EPS = 1e-10

    def __init__(self, table: RowTable, lr: float) -> None:
        super().__init__(table, lr)
        self.slots = {"sum": _zeros(table)}

    def _move(self, weight_UW: Tensor, grad_UW: Tensor, **slots: Tensor) -> None:
        sum_UW = slots["sum"].addcmul_(grad_UW, grad_UW)
        weight_UW.addcdiv_(grad_UW, sum_UW.sqrt().add_(self.EPS), value=-self.lr)


class RowWiseAdagrad(RowOptimizer):
    """Row-wise Adagrad: one accumulator a row, of the mean square of its gradient (as in FBGEMM and TorchRec)."""

    EPS = 1e-8

    def __init__(self, table: RowTable, lr: float) -> None:
        super().__init__(table, lr)
        self.slots = {"sum": torch.zeros(len(table.weight), device=table.weight.device)}

    def _move(self, weight_UW: Tensor, grad_UW: Tensor, **slots: Tensor) -> None:
        sum_U = slots["sum"].add_(grad_UW.square().mean(1))
        weight_UW.addcdiv_(grad_UW, sum_U.sqrt().add_(self.EPS)[:, None], value=-self.lr)


ROWS: dict[str, type[RowOptimizer]] = {
    "adam": RowAdam,
    "sgd": RowSGD,
    "adagrad": RowAdagrad,
    "rowwise_adagrad": RowWiseAdagrad,
}

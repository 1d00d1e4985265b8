"""Optimisers of a model: PyTorch's own for the dense part, row-wise ones for the tables.

update=lazy   a step moves the rows of its batch only. Adam then leaves momentum and moments of absent rows alone, as
              torch.optim.SparseAdam does.
update=exact  the whole table moves as under PyTorch's dense optimiser. For SGD and row-wise Adagrad without L2 over
              the table both are the same, as a zero gradient moves nothing.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from mlet_bench.config import EmbConfig, TrainConfig
from mlet_bench.embedding import Embedding, RowTable
from mlet_bench.models import CTRModel
from mlet_bench.models.layers import NumericVectors


class RowOptimiser(ABC):
    """Moves the rows of one table by their gradients."""

    def __init__(self, table: RowTable, lr: float) -> None:
        self.table = table
        self.lr = lr
        self.state: dict[str, Tensor] = {}

    def step(self) -> None:
        rows_U, grad_UW = self.table.gradient()
        with torch.no_grad():
            self._move(rows_U, grad_UW)

    @abstractmethod
    def _move(self, rows_U: Tensor | None, grad_UW: Tensor) -> None:
        """Rows None: all of them."""


class RowSGD(RowOptimiser):
    """w ← w - lr·g."""

    def _move(self, rows_U: Tensor | None, grad_UW: Tensor) -> None:
        weight_VW = self.table.weight
        if rows_U is None:
            weight_VW.add_(grad_UW, alpha=-self.lr)
        else:
            weight_VW.index_add_(0, rows_U, grad_UW, alpha=-self.lr)


class RowAdam(RowOptimiser):
    """Adam (Kingma and Ba 2015) with the bias correction of the number of steps taken, not of visits to a row."""

    BETA1, BETA2, EPS = 0.9, 0.999, 1e-8

    def __init__(self, table: RowTable, lr: float) -> None:
        super().__init__(table, lr)
        self.state = {
            "step": torch.zeros((), dtype=torch.int64),
            "mean": torch.zeros_like(table.weight),
            "square": torch.zeros_like(table.weight),
        }

    def _move(self, rows_U: Tensor | None, grad_UW: Tensor) -> None:
        self.state["step"] += 1
        step = int(self.state["step"])
        mean_VW, square_VW, weight_VW = self.state["mean"], self.state["square"], self.table.weight
        mean_UW = mean_VW if rows_U is None else mean_VW.index_select(0, rows_U)
        square_UW = square_VW if rows_U is None else square_VW.index_select(0, rows_U)
        mean_UW.lerp_(grad_UW, 1 - self.BETA1)
        square_UW.mul_(self.BETA2).addcmul_(grad_UW, grad_UW, value=1 - self.BETA2)
        size = self.lr / (1 - self.BETA1**step)
        root_UW = square_UW.sqrt().div_((1 - self.BETA2**step) ** 0.5).add_(self.EPS)
        if rows_U is None:
            weight_VW.addcdiv_(mean_UW, root_UW, value=-size)
        else:
            mean_VW.index_copy_(0, rows_U, mean_UW)
            square_VW.index_copy_(0, rows_U, square_UW)
            weight_VW.index_add_(0, rows_U, mean_UW.div(root_UW), alpha=-size)


class RowAdagrad(RowOptimiser):
    """Row-wise Adagrad: one accumulator a row, of the mean square of its gradient (as in FBGEMM and TorchRec)."""

    EPS = 1e-8

    def __init__(self, table: RowTable, lr: float) -> None:
        super().__init__(table, lr)
        self.state = {"sum": torch.zeros(len(table.weight), device=table.weight.device)}

    def _move(self, rows_U: Tensor | None, grad_UW: Tensor) -> None:
        sum_V, weight_VW = self.state["sum"], self.table.weight
        square_U = grad_UW.square().mean(1)
        if rows_U is None:
            sum_V.add_(square_U)
            weight_VW.addcdiv_(grad_UW, sum_V.sqrt().add_(self.EPS)[:, None], value=-self.lr)
        else:
            sum_V.index_add_(0, rows_U, square_U)
            root_U = sum_V.index_select(0, rows_U).sqrt_().add_(self.EPS)
            weight_VW.index_add_(0, rows_U, grad_UW / root_U[:, None], alpha=-self.lr)


ROWS: dict[str, type[RowOptimiser]] = {"adam": RowAdam, "sgd": RowSGD, "rowwise_adagrad": RowAdagrad}


def _dense(name: str, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    if name == "adam":
        return torch.optim.Adam(groups, lr=lr, fused=True)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr)
    return torch.optim.Adagrad(groups, lr=lr)


class Optimisers:
    """All that moves a model: one dense optimiser and a row optimiser for each table.

    Tables are those of every `Embedding` in the model: the one that it was handed, and its first-order weights.
    `emb.lr` and `emb.l2` hold for both; `emb.l2` also for the vectors and weights of numeric columns, whose learning
    rate is that of the dense part.
    """

    def __init__(self, model: CTRModel, config: TrainConfig, emb: EmbConfig) -> None:
        self._embeddings = [part for part in model.modules() if isinstance(part, Embedding)]
        numeric = [part.weight_ND for part in model.modules() if isinstance(part, NumericVectors)]
        self._numeric = [weight_ND for weight_ND in numeric if weight_ND is not None]
        self._exact = config.update == "exact"
        self._clip_norm = config.clip_norm
        self._emb = emb
        emb_lr = config.lr if emb.lr is None else emb.lr
        factors = [p for part in self._embeddings for p in part.parameters() if p.requires_grad]
        inside = {id(p) for p in factors}
        dense = [p for p in model.parameters() if p.requires_grad and id(p) not in inside]
        groups = [{"params": dense, "lr": config.lr}]
        if factors:
            groups.append({"params": factors, "lr": emb_lr})
        self.dense = _dense(config.optimizer, groups, config.lr)
        self.rows = [ROWS[config.optimizer](table, emb_lr) for part in self._embeddings for table in part.tables()]

    @property
    def lr(self) -> float:
        """The learning rate of the dense part now."""
        lr: float = self.dense.param_groups[0]["lr"]
        return lr

    def lower_lr(self, factor: float, least: float) -> None:
        """Multiply every learning rate by `factor`; none falls below `least`, none rises to it."""
        for group in self.dense.param_groups:
            group["lr"] = max(group["lr"] * factor, min(group["lr"], least))
        for rows in self.rows:
            rows.lr = max(rows.lr * factor, min(rows.lr, least))

    def batch_penalty(self) -> Tensor | None:
        """λ/2·‖·‖² of the rows of the batch, to be added to the loss that is differentiated."""
        if self._emb.l2 == 0 or self._emb.l2_rows == "table":
            return None
        squares = [part.batch_l2(self._emb.l2_on) for part in self._embeddings]
        squares += [weight_ND.square().sum() for weight_ND in self._numeric]
        return torch.stack(squares).sum() * (self._emb.l2 / 2)

    def step(self) -> None:
        """Move everything by the gradients of the last backward pass, and clear them."""
        if self._emb.l2 > 0 and self._emb.l2_rows == "table":
            self._add_table_l2()
        elif self._exact:
            for rows in self.rows:
                rows.table.densify()
        if self._clip_norm is not None:
            self._clip(self._clip_norm)
        self.dense.step()
        for rows in self.rows:
            rows.step()
        self.dense.zero_grad(set_to_none=True)

    def _add_table_l2(self) -> None:
        for part in self._embeddings:
            part.add_table_l2(self._emb.l2, self._emb.l2_on)
        for weight_ND in self._numeric:
            assert weight_ND.grad is not None
            weight_ND.grad.add_(weight_ND.detach(), alpha=self._emb.l2)

    def _clip(self, longest: float) -> None:
        """Scale all gradients together to at most this norm, as torch.nn.utils.clip_grad_norm_ does."""
        gradients = [p.grad for group in self.dense.param_groups for p in group["params"] if p.grad is not None]
        gradients += [rows.table.gradient()[1] for rows in self.rows]
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        scale = (longest / (norm + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(scale)

    def state(self) -> dict[str, Tensor]:
        """All state as named tensors."""
        state = {
            f"dense.{index}.{name}": torch.as_tensor(value)
            for index, slots in self.dense.state_dict()["state"].items()
            for name, value in slots.items()
        }
        for index, rows in enumerate(self.rows):
            state |= {f"rows.{index}.{name}": value for name, value in rows.state.items()}
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """The inverse of state()."""
        whole = self.dense.state_dict()
        whole["state"] = {}
        for key, value in state.items():
            part, index, name = key.split(".", 2)
            if part == "dense":
                whole["state"].setdefault(int(index), {})[name] = value
            else:
                self.rows[int(index)].state[name].copy_(value)
        self.dense.load_state_dict(whole)

"""Optimisers of a model: PyTorch's own for the dense part, row-wise ones for the tables.

update=lazy   a step moves the rows of its batch only. Adam then leaves momentum and moments of absent rows alone, as
              torch.optim.SparseAdam does; epsilon is added as in torch.optim.Adam, after the bias correction.
update=exact  the whole table moves as under PyTorch's dense optimiser. For SGD and both kinds of Adagrad without L2
              over the table both are the same, as a zero gradient moves nothing: the rows of the batch are enough.
"""

from typing import Any

import torch
from torch import Tensor

from mlet_bench.config import EmbConfig, TrainConfig
from mlet_bench.embedding import Embedding
from mlet_bench.embedding.base import Shards
from mlet_bench.embedding.rows import FieldOffsets, SharedRows
from mlet_bench.models import CTRModel
from mlet_bench.models.layers import NumericVectors
from mlet_bench.system.processes import ALONE, Processes
from mlet_bench.training.row_optimizers import ROWS, RowOptimizer


def dense_rows(config: TrainConfig, emb: EmbConfig) -> bool:
    """Whether every step moves whole tables, and so needs gradients of their size."""
    return config.update == "exact" and (config.optimizer == "adam" or (emb.l2 > 0 and emb.l2_rows == "table"))


def _dense(name: str, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    if name == "adam":
        return torch.optim.Adam(groups, lr=lr, fused=True)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr)
    return torch.optim.Adagrad(groups, lr=lr)


class Optimizers:
    """All that moves a model: one dense optimiser and a row optimiser for each table.

    Tables are those of every `Embedding` in the model: the one that it was handed, and its first-order weights.
    `emb.lr` and `emb.l2` hold for both; `emb.l2` also for the vectors and weights of numeric columns, whose learning
    rate is that of the dense part.
    """

    def __init__(self, model: CTRModel, config: TrainConfig, emb: EmbConfig) -> None:
        every = [part for part in model.modules() if isinstance(part, Embedding)]
        inside = {id(inner) for part in every for inner in part.modules() if inner is not part}
        self._embeddings = [part for part in every if id(part) not in inside]
        numeric = [part.weight_ND for part in model.modules() if isinstance(part, NumericVectors)]
        self._numeric = [weight_ND for weight_ND in numeric if weight_ND is not None]
        self._dense_rows = dense_rows(config, emb)
        self._clip_norm = config.clip_norm
        self._emb = emb
        emb_lr = config.lr if emb.lr is None else emb.lr
        tables = [table for part in self._embeddings for table in part.tables()]
        in_tables = {id(table.weight) for table in tables}
        factors = [
            p for part in self._embeddings for p in part.parameters() if p.requires_grad and id(p) not in in_tables
        ]
        embedded = {id(p) for p in factors} | in_tables
        dense = [p for p in model.parameters() if p.requires_grad and id(p) not in embedded]
        groups = [{"params": dense, "lr": config.lr}]
        if factors:
            groups.append({"params": factors, "lr": emb_lr})
        self.dense = _dense(config.optimizer, groups, config.lr)
        self.rows = [ROWS[config.optimizer](table, emb_lr) for table in tables if table.is_trained]
        self._of_table = {id(rows.table): rows for rows in self.rows}
        self.shards = [part.sharded for part in self._embeddings if part.sharded is not None]
        """What moves its rows itself; here alone learning rates are set."""
        self._skip: Tensor | None = None
        self._shared = SharedRows()
        self._offsets = [part for part in model.modules() if isinstance(part, FieldOffsets)]
        for part in self._offsets:
            part.shared = self._shared

    @property
    def lr(self) -> float:
        """The learning rate of the dense part now."""
        lr: float = self.dense.param_groups[0]["lr"]
        return lr

    @property
    def emb_lr(self) -> float:
        """The learning rate of the embeddings now, or of the dense part where there are none."""
        return next((moved.lr for moved in self._moved), self.lr)

    @property
    def _moved(self) -> list[RowOptimizer | Shards]:
        return [*self.rows, *self.shards]

    def lower_lr(self, factor: float, least: float) -> None:
        """Multiply every learning rate by `factor`; none falls below `least`, none rises to it."""
        for group in self.dense.param_groups:
            group["lr"] = max(group["lr"] * factor, min(group["lr"], least))
        for moved in self._moved:
            moved.lr = max(moved.lr * factor, min(moved.lr, least))

    def skip_from(self, skip: Tensor) -> None:
        """From now on a step leaves weights and state as they are while this boolean on the device is true.

        So a loss that is not finite can be found later than it happened, without a wait in any step.
        """
        self._skip = skip

    def batch_penalty(self) -> Tensor | None:
        """λ/2·‖·‖² of the rows of the batch, to be added to the loss that is differentiated."""
        if self._emb.l2 == 0 or self._emb.l2_rows == "table":
            return None
        squares = [part.batch_l2(self._emb.l2_on) for part in self._embeddings]
        squares += [weight_ND.square().sum() for weight_ND in self._numeric]
        return torch.stack(squares).sum() * (self._emb.l2 / 2)

    def step(self, processes: Processes = ALONE) -> None:
        """Move everything by the gradients of the backward passes since the last step or `clear`, of several processes
        by their means."""
        if processes.size > 1:
            groups = self.dense.param_groups
            processes.average_([p.grad for group in groups for p in group["params"] if p.grad is not None])
            for rows in self.rows:
                rows.table.share_gradient(processes)
        for part in self._embeddings:
            part.before_step()
        if self._emb.l2 > 0 and self._emb.l2_rows == "table":
            self._add_table_l2()
        elif self._dense_rows:
            for rows in self.rows:
                rows.table.densify()
        if self._clip_norm is not None:
            self._clip(self._clip_norm)
        if self._skip is not None:
            self._skip_dense(self._skip)
        self.dense.step()
        for rows in self.rows:
            rows.step(self._skip)
        for part in self._embeddings:
            for table, rows_N in part.after_step():
                self._of_table[id(table)].forget(rows_N)

    def clear(self) -> None:
        """Let the gradients go. Until then they can tell why a loss is no longer finite."""
        self.dense.zero_grad(set_to_none=True)

    def finish(self) -> None:
        """No more steps: let all gradients go, those of the tables too, and give the tables back to PyTorch."""
        self.clear()
        self._shared.clear()
        for rows in self.rows:
            rows.table.step = None
        for part in self._offsets:
            part.shared = None

    def _skip_dense(self, skip: Tensor) -> None:
        """Adam would move on by its momentum, so its fused form is told to stand still; the others need a gradient."""
        if isinstance(self.dense, torch.optim.Adam):
            self.dense.grad_scale, self.dense.found_inf = None, skip.float()  # type: ignore[attr-defined]
            return
        for group in self.dense.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.masked_fill_(skip, 0)

    def _add_table_l2(self) -> None:
        for part in self._embeddings:
            part.add_table_l2(self._emb.l2, self._emb.l2_on)
        for weight_ND in self._numeric:
            assert weight_ND.grad is not None
            weight_ND.grad.add_(weight_ND.detach(), alpha=self._emb.l2)

    def _clip(self, longest: float) -> None:
        """Scale all gradients together to at most this norm, as torch.nn.utils.clip_grad_norm_ does."""
        gradients = [p.grad for group in self.dense.param_groups for p in group["params"] if p.grad is not None]
        of_rows = [gradient for rows in self.rows if (gradient := rows.table.gradient()) is not None]
        norms = [gradient.norm() for gradient in gradients] + [gradient.once().norm() for gradient in of_rows]
        scale = (longest / (torch.stack(norms).norm() + 1e-6)).clamp(max=1)
        for gradient in [*gradients, *(gradient.grad_UW for gradient in of_rows)]:
            gradient.mul_(scale)

    def state(self) -> dict[str, Tensor]:
        """All state as named tensors."""
        state = {
            f"dense.{index}.{name}": torch.as_tensor(value)
            for index, slots in self.dense.state_dict()["state"].items()
            for name, value in slots.items()
        }
        for index, rows in enumerate(self.rows):
            state |= {f"rows.{index}.{name}": value for name, value in rows.state().items()}
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
                self.rows[int(index)].state()[name].copy_(value)
        self.dense.load_state_dict(whole)

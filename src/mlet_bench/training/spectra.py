"""spectra.jsonl: how the tables look at every evaluation, and what the step after it does to them (train.spectra=true).

Looking changes nothing: no random number is drawn, and weights are only read. B batch, F sparse fields, D output width.
"""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mlet_bench.models import CTRModel
from mlet_bench.system import files
from mlet_bench.training.singular_values import spectrum
from mlet_bench.training.update_rule import compare_step


class Spectra:
    """Writes a line for each evaluation, and one for the start, when the step after it is done.

    Its `step` names the evaluation. The last line has no step after it: `movement` is null there.
    """

    def __init__(self, model: CTRModel, fields: Sequence[str], optimizer: str, path: Path) -> None:
        self._embedding, self._path, self._optimizer = model.embedding, path, optimizer
        self._fields = {name: field for field, name in enumerate(fields) if self._embedding.factors(field)}
        self._line: dict[str, Any] | None = None
        self._batch: tuple[Tensor, Tensor] | None = None

    def keep_before(self, step: int) -> None:
        """Drop the lines that training resumed at `step` will write again."""
        kept = []
        for text in self._path.read_text(encoding="utf-8").splitlines() if self._path.is_file() else []:
            try:
                if json.loads(text)["step"] >= step:
                    break
            except (ValueError, KeyError, TypeError):
                break  # torn; a checkpoint is taken after a line is on the disk
            kept.append(text + "\n")
        files.write_text(self._path, "".join(kept))

    @torch.no_grad()
    def begin(self, step: int, epoch: float, lr: float) -> None:
        """Take the spectra now, and what is needed to look at the next step; `lr` is that of the embedding there."""
        self._before = {
            name: tuple(factor.clone() for factor in self._embedding.factors(field))
            for name, field in self._fields.items()
        }
        found = {
            name: {"rows": len(factors[0]), **spectrum(factors), "movement": None}
            for name, factors in self._before.items()
        }
        self._line = {"step": step, "epoch": epoch, "lr": lr, "fields": found}
        self._batch = None
        if self._fields:
            self._hook = self._embedding.register_forward_hook(self._taken)

    def _taken(self, _: nn.Module, given: tuple[Tensor, ...], emb_BFD: Tensor) -> None:
        """Keep ids and vectors of the step's batch, and the gradient that the vectors will get."""
        emb_BFD.retain_grad()
        self._batch = given[0], emb_BFD

    @torch.no_grad()
    def finish(self) -> None:
        """Write the line that was begun, if one was, with the step that was taken since, if one was."""
        if self._line is None:
            return
        if self._fields:
            self._hook.remove()
        if self._batch is not None:
            ids_BF, emb_BFD = self._batch
            assert emb_BFD.grad is not None
            for name, field in self._fields.items():
                rows_B = self._embedding.fields.in_field(ids_BF[:, field].long(), field)
                moved = self._movement(name, field, rows_B, emb_BFD.grad[:, field])
                self._line["fields"][name]["movement"] = moved
        with self._path.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(self._line, allow_nan=False) + "\n")
            opened.flush()
            os.fsync(opened.fileno())  # before any checkpoint that is past it
        self._line, self._batch = None, None
        self._before.clear()

    def _movement(self, name: str, field: int, rows_B: Tensor, grad_BD: Tensor) -> dict[str, Any]:
        assert self._line is not None
        rows_U, which_B = torch.unique(rows_B, return_inverse=True)
        grad_UD = grad_BD.new_zeros(len(rows_U), grad_BD.shape[1], dtype=torch.float64)
        grad_UD.index_add_(0, which_B, grad_BD.double())
        moved = compare_step(self._before[name], self._embedding.factors(field), rows_U, grad_UD, self._line["lr"])
        if self._optimizer != "sgd":  # of another optimiser the rule tells no length
            moved |= {"error": None, "first_order_error": None}
        return {key: value if value is None or math.isfinite(value) else None for key, value in moved.items()}

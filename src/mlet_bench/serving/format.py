"""What a format has to do, and the program that all of them hold.

B batch, F sparse fields, N numeric columns.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from mlet_bench.models import CTRModel

Runner = Callable[[Tensor, Tensor], Tensor]
"""ids_BF (int64) and numeric_BN (float32) to logit_B (float32)."""


class Program(nn.Module):
    """The model as it is served: ids and numeric columns to logits and probabilities.

    Without numeric columns it takes ids alone.
    """

    def __init__(self, model: CTRModel, num_numeric: int) -> None:
        super().__init__()
        self.model, self.num_numeric = model.requires_grad_(False), num_numeric

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """logit_B and probability_B."""
        if numeric_BN is None:
            numeric_BN = torch.zeros(ids_BF.shape[0], 0)
        logit_B = self.model(ids_BF, numeric_BN)
        return logit_B, torch.sigmoid(logit_B)

    def inputs(self, ids_BF: Tensor, numeric_BN: Tensor) -> tuple[Tensor, ...]:
        """What it takes of a batch."""
        return (ids_BF.long(), numeric_BN) if self.num_numeric else (ids_BF.long(),)

    def exported(self) -> torch.export.ExportedProgram:
        """Its graph, for batches of any size from one row on."""
        fields = len(self.model.embedding.cardinalities)
        batch = torch.export.Dim("batch", min=1)
        example = self.inputs(torch.zeros(3, fields), torch.zeros(3, self.num_numeric))
        with torch.no_grad():
            return torch.export.export(self.eval(), example, dynamic_shapes=tuple({0: batch} for _ in example))

    def runner(self) -> Runner:
        """Itself, without a graph."""

        def run(ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
            logit_B: Tensor = self(*self.inputs(ids_BF, numeric_BN))[0]
            return logit_B

        return run

    @property
    def input_names(self) -> list[str]:
        return ["ids", "numeric"] if self.num_numeric else ["ids"]


class Format(ABC):
    """A way to keep a program in a folder."""

    def missing_package(self) -> str | None:
        """The name of a package that writing and reading need and that is not installed."""
        return None

    @abstractmethod
    def write(self, folder: Path, program: Program) -> dict[str, object]:
        """Write the program into the folder; what export.json is to say of it."""

    @abstractmethod
    def read(self, folder: Path, program: Program) -> Runner:
        """What runs the program as it lies in the folder; `program` says what it takes."""

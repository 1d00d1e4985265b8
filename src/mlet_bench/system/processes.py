"""The processes that train one model together, and what they ask of each other; one process asks nobody.

Each holds a share of the rows; tensors and small values are what they exchange. PyTorch is not imported here, since
those that only read files know this too. B rows of a batch, R of a split.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Value = TypeVar("Value")


class Processes:
    """One process."""

    rank = 0
    size = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that speaks, writes files and measures."""
        return self.rank == 0

    def share(self, rows: int) -> range:
        """The rows of so many that are this process's; all shares one after the other are all rows."""
        each = -(-rows // self.size)
        return range(min(self.rank * each, rows), min((self.rank + 1) * each, rows))

    def mean(self, loss: "Tensor", rows: int) -> tuple["Tensor", "Tensor"]:
        """From the mean over this process's rows: what is to be differentiated here, so that the mean over processes of
        the gradients is that of the mean over all rows; and that mean."""
        return loss, loss.detach()

    def average_(self, gradients: Sequence["Tensor"]) -> None:
        """Replace by the means over the processes."""

    def stacked(self, values: "Tensor") -> "Tensor":
        """Those of all processes, one after the other, whatever the number of each one's rows."""
        return values

    def gathered(self, values_R: np.ndarray) -> np.ndarray:
        """Those of all processes in the order of their shares, on the first one; elsewhere none."""
        return values_R

    def each(self, value: Value) -> list[Value]:
        """A small value (JSON) of every process."""
        return [value]

    def told(self, value: Value) -> Value:
        """The first process's."""
        return self.each(value)[0]

    def most(self, value: int) -> int:
        """The largest."""
        return value

    def wait(self) -> None:
        """Until all have come here."""


ALONE = Processes()


def rounds(rows: int, batch_size: int, processes: Processes) -> int:
    """Batches that every process goes through, whose own rows are so many; the last ones may be empty."""
    return processes.most(math.ceil(rows / batch_size))

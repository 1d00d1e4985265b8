"""Rows in memory.

B rows, F sparse fields, N numeric columns.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Split:
    """One split in memory, in the order of its rows."""

    ids_BF: np.ndarray
    """int32; within its field, 0 is the reserved id."""
    numeric_BN: np.ndarray
    """float32"""
    label_B: np.ndarray
    """float32, 0 or 1"""
    counts_BF: np.ndarray | None
    """int64; how often the row's original category occurs in the training split; None if not asked for."""
    true_logit_B: np.ndarray | None
    """float64; only of generated data."""

    def __len__(self) -> int:
        return len(self.label_B)

    def fill(self, start: int, piece: "Split") -> None:
        """Copy a piece's rows to the rows from `start` on."""
        into = slice(start, start + len(piece))
        for ours, theirs in zip(self._arrays, piece._arrays, strict=True):
            ours[into] = theirs

    @property
    def _arrays(self) -> list[np.ndarray]:
        arrays = (self.ids_BF, self.numeric_BN, self.label_B, self.counts_BF, self.true_logit_B)
        return [array for array in arrays if array is not None]

    def rows(self, start: int, stop: int) -> "Split":
        """Some of the rows, with all that is known of them."""
        cut = slice(start, stop)
        counts_BF, true_logit_B = self.counts_BF, self.true_logit_B
        return Split(
            self.ids_BF[cut],
            self.numeric_BN[cut],
            self.label_B[cut],
            None if counts_BF is None else counts_BF[cut],
            None if true_logit_B is None else true_logit_B[cut],
        )

    def head(self, rows: int) -> "Split":
        """The first rows, without counts and truth."""
        return Split(self.ids_BF[:rows], self.numeric_BN[:rows], self.label_B[:rows], None, None)

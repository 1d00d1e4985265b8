"""Shapes of generated rows: their columns, the cardinality of each field, and how popular its categories are."""

from dataclasses import dataclass

import numpy as np

AVAZU_ROWS = 40_428_967
DEVICE_ROWS = {"C9": 15, "C10": 6}
"""Rows for each category of the two fields that hold nearly all of them, Avazu's device_id and device_ip."""
FEW = 40
"""Fields with at most as many categories have all of them however few rows there are."""


@dataclass(frozen=True)
class Shape:
    numeric: tuple[str, ...]
    cardinalities: dict[str, int]
    """By field."""
    interacting: tuple[str, ...]
    """Fields whose planted vectors have dot products in the truth."""

    @property
    def categorical(self) -> tuple[str, ...]:
        return tuple(self.cardinalities)

    def popularity(self, field: str) -> np.ndarray:
        """How often a row has each category, the most frequent first, up to a factor: a power law."""
        return np.arange(1, self.cardinalities[field] + 1.0) ** -1.05


class AvazuShape(Shape):
    def popularity(self, field: str) -> np.ndarray:
        """The devices' power law is a flat one, so that most categories are seen a few times; four rows of five have
        the first device_id, which says that there is none."""
        if field not in DEVICE_ROWS:
            return super().popularity(field)
        popularity = np.arange(1, self.cardinalities[field] + 1.0) ** -0.7
        if field == "C9":
            popularity[0] = 4 * popularity[1:].sum()
        return popularity


def criteo() -> Shape:
    """13 numeric columns and 26 fields, the cardinalities of Criteo-Kaggle's first rows, whatever the rows."""
    cardinalities = (
        *(180, 70, 30_000, 4_000, 40, 17, 1_500, 80, 4, 5_000, 640, 3_000, 400),
        *(27, 1_400, 2_500, 11, 570, 250, 4, 14_000, 17, 16, 2_000, 81, 1_500),
    )
    interacting = ("C1", "C2", "C3", "C7", "C10", "C11", "C14", "C18")
    return Shape(tuple(f"I{i}" for i in range(1, 14)), _by_field(cardinalities), interacting)


def avazu(rows: int) -> AvazuShape:
    """One numeric column and 21 fields in the order of Avazu's, their cardinalities scaled to so many rows.

    Those of devices go with the number of rows, the others with its root, as new rows bring ever fewer new categories.

    >>> avazu(240_000).cardinalities["C9"], avazu(240_000).cardinalities["C10"], avazu(240_000).cardinalities["C3"]
    (16000, 40000, 365)
    """
    whole = (
        *(7, 7, 4_737, 7_745, 26, 8_552, 559, 36, 2_686_408, 6_729_486, 8_251, 5, 4),
        *(2_626, 8, 9, 435, 4, 68, 172, 60),
    )
    part = min(1.0, rows / AVAZU_ROWS) ** 0.5
    cardinalities = _by_field([min(size, max(FEW, round(size * part))) for size in whole])
    for field, rows_each in DEVICE_ROWS.items():
        cardinalities[field] = max(FEW, rows // rows_each)
    return AvazuShape(("I1",), cardinalities, ("C3", "C6", "C9", "C10", "C11", "C14", "C17", "C21"))


def _by_field(cardinalities: tuple[int, ...] | list[int]) -> dict[str, int]:
    return {f"C{i}": size for i, size in enumerate(cardinalities, 1)}

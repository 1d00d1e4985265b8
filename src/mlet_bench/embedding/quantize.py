"""Tables quantised after training: uniform and symmetric, a scale for each field's table.

An entry w becomes the integer round(w / s), clamped to ±(2^(bits-1) - 1), and is read back as that times s. N rows of a
field, D width.
"""

import itertools

import torch
from torch import Tensor

from mlet_bench.embedding.single import SingleEmbedding

CANDIDATES = 100
"""Scales that are tried, in equal steps up to the one at which nothing is clamped."""
SEARCHED = 1 << 22
"""Entries of a table that the search looks at, at most; spread evenly over it."""


@torch.no_grad()
def quantize(embedding: SingleEmbedding, bits: int) -> int:
    """Replace every weight by what it is read back as; returns the bytes of the integers and scales that are served.

    Example:
        >>> emb = SingleEmbedding.from_weights([3], torch.tensor([[-1.0], [0.3], [1.0]]))
        >>> quantize(emb, 8), emb.table.weight.flatten().tolist()
        (7, [-1.0, 0.29921260476112366, 1.0])
    """
    size = 0
    for start, stop in itertools.pairwise(embedding.fields.bounds):
        table_ND = embedding.table.weight[start:stop]
        table_ND.copy_(_rounded(table_ND, best_scale(table_ND, bits), bits))
        size += (table_ND.numel() * bits + 7) // 8 + table_ND.element_size()
    return size


def best_scale(table_ND: Tensor, bits: int) -> float:
    """That with the least squared error over the table's entries (the paper's grid search, arXiv 2309.15881)."""
    entries = table_ND.flatten()[:: max(1, table_ND.numel() // SEARCHED)]
    largest = float(entries.abs().max()) / (2 ** (bits - 1) - 1) if len(entries) else 0.0
    scales = [largest * step / CANDIDATES for step in range(CANDIDATES, 0, -1)]
    return min(scales, key=lambda scale: float((_rounded(entries, scale, bits) - entries).square().sum()))


def _rounded(values: Tensor, scale: float, bits: int) -> Tensor:
    most = 2 ** (bits - 1) - 1
    return values if scale == 0 else (values / scale).round_().clamp_(-most, most).mul_(scale)

"""Tables of integers that are served: a lookup reads them, and makes numbers of what it has read.

V rows of the table, W its width, F sparse fields.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.pool import PoolFields
from mlet_bench.embedding.quantize import quantize
from mlet_bench.embedding.single import SingleEmbedding
from mlet_bench.embedding.table import RowTable
from mlet_bench.errors import UserError


class QuantizedTable(nn.Module):
    """V × W integers of 8 or 4 bits with a scale for each field, or one for all; those of 4 bits lie two in a byte.

    Example:
        >>> table = QuantizedTable(torch.tensor([[-7, 3, 2], [0, 1, 7]], dtype=torch.int8), torch.tensor([0.5, 2.0]), 4)
        >>> table(torch.tensor([[0, 1]])).tolist(), table.packed_VP.shape
        ([[[-3.5, 1.5, 1.0], [0.0, 2.0, 14.0]]], torch.Size([2, 2]))
    """

    packed_VP: Tensor
    scale_F: Tensor
    by_rows = False
    """No row optimiser reads it."""

    def __init__(self, integers_VW: Tensor, scale_F: Tensor, bits: int) -> None:
        super().__init__()
        self.width, self.bits = integers_VW.shape[1], bits
        self.register_buffer("packed_VP", integers_VW if bits == 8 else _packed(integers_VW))
        self.register_buffer("scale_F", scale_F)

    def forward(self, rows_BF: Tensor) -> Tensor:
        """A vector of width W for each row number."""
        read_BFP = F.embedding(rows_BF, self.packed_VP).float()
        if self.bits == 4:
            high_BFP = torch.floor(read_BFP / 16)
            both = torch.stack([read_BFP - 16 * high_BFP, high_BFP], -1)
            read_BFP = both.flatten(-2)[..., : self.width] - 8
        return read_BFP * self.scale_F[:, None]


def _packed(integers_VW: Tensor) -> Tensor:
    shifted_VW = F.pad(integers_VW, (0, integers_VW.shape[1] % 2)).add(8).to(torch.uint8)
    return shifted_VW[:, ::2] | shifted_VW[:, 1::2] << 4


def tables_alone(embedding: Embedding, mode: str, keys: str) -> list[SingleEmbedding]:
    """The tables of numbers that are all that an embedding serves; UserError, which begins with `keys`, if not."""
    tables = [part for part in embedding.modules() if isinstance(part, SingleEmbedding)]
    in_tables = sum(weight.numel() for part in tables for weight in part.parameters())
    if in_tables < sum(weight.numel() for weight in embedding.parameters()) or (embedding.bytes and not tables):
        raise UserError(f"{keys}: emb={mode} serves more than tables; allowed for single, mlet, hash, qr and the like")
    return tables


def quantize_tables(model: nn.Module, bits: int) -> None:
    """Put integers of so many bits into the place of every table of numbers, in place; of one column a byte each."""
    for part in _with_numbers(model):
        part.table = _quantized(part, bits if part.dim > 1 else 8)  # type: ignore[assignment]


def _with_numbers(model: nn.Module) -> Iterator[SingleEmbedding]:
    for part in list(model.modules()):
        if isinstance(part, SingleEmbedding) and isinstance(part.table, RowTable):
            yield part


@torch.no_grad()
def _quantized(part: SingleEmbedding, bits: int) -> QuantizedTable:
    weight_VD = part.table.weight
    by_field = not isinstance(part.fields, PoolFields)  # whose rows lie in no order of fields
    rows = [*part.fields.counts] if by_field else [len(weight_VD)]
    found = [quantize(table_ND, bits) for table_ND in torch.split(weight_VD, rows)]
    scale_F = torch.tensor([scale for _, scale in found])
    return QuantizedTable(torch.cat([integers_ND for integers_ND, _ in found]), scale_F, bits)

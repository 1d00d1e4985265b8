"""Multi-Layer Embedding Training (arXiv 2309.15881): each n × d table trained as (n × k)·(k × d).

Without `inner_std` the start matches the standard embedding: each W2 has mean square 1/k and W1 the variance of
the standard table, so the product has it too; W2ᵀW2 is the identity on average, so k does not act as a learning
rate under SGD. With it W2ᵀW2 is about k·σ² times the identity, as in the paper.
"""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from mlet_bench.config import EmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.rows import FieldOffsets, fields_of, project_places
from mlet_bench.embedding.single import SingleEmbedding
from mlet_bench.embedding.start import TableInit, initial_rows
from mlet_bench.embedding.table import RowTable

COLLAPSE_ROWS = 1 << 18


class MLETEmbedding(Embedding):
    """W1 of all fields in one V × k table, and a k × d W2 per field.

    `fields`, `seen`, `table_init` and `init_std` say of W1 what they say of the table of `SingleEmbedding`. An entry of
    W2 is normal with standard deviation `inner_std`, or, where that is None, with a mean square of exactly 1/k in every
    field. Numbers come from `generator`, or from PyTorch's global one. Products are taken in the precision of the
    tables, also under autocast.

    Example:
        >>> emb = MLETEmbedding([3, 5], dim=2, inner=4)
        >>> emb(torch.tensor([[1, 4], [2, 0]])).shape
        torch.Size([2, 2, 2])
        >>> emb.collapse().table.weight.shape
        torch.Size([8, 2])
    """

    def __init__(
        self,
        fields: FieldOffsets | Sequence[int],
        dim: int,
        inner: int,
        *,
        seen: Tensor | None = None,
        generator: torch.Generator | None = None,
        table_init: TableInit = "dlrm",
        init_std: float | None = None,
        inner_std: float | None = None,
    ) -> None:
        super().__init__()
        fields = fields_of(fields)
        w1_VK = initial_rows(fields, inner, table_init=table_init, init_std=init_std, seen=seen, generator=generator)
        self._set(fields, w1_VK, initial_w2(fields, inner, dim, inner_std, generator))

    def _set(self, fields: FieldOffsets, w1_VK: Tensor, w2_FKD: Tensor) -> None:
        self.cardinalities = fields.cardinalities
        self.dim = w2_FKD.shape[2]
        self.fields = fields.to(w1_VK.device)
        self.w1 = RowTable(w1_VK)
        self.w2_FKD = nn.Parameter(w2_FKD)

    @classmethod
    def from_weights(cls, fields: FieldOffsets | Sequence[int], w1_VK: Tensor, w2_FKD: Tensor) -> Self:
        """Around the rows of all fields, one field after the other, and a matrix per field."""
        embedding = cls.__new__(cls)
        nn.Module.__init__(embedding)
        embedding._set(fields_of(fields), w1_VK, w2_FKD)
        return embedding

    @classmethod
    def from_config(cls, config: EmbConfig, fields: FieldOffsets, seen: Tensor | None) -> Self:
        assert config.inner is not None
        return cls(
            fields,
            config.dim,
            config.inner,
            seen=seen,
            table_init=config.table_init,
            init_std=config.init_std,
            inner_std=config.inner_std,
        )

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields."""
        if not self.w1.by_rows:
            return project_places(self.w1(self.fields.rows(ids_BF)), self.w2_FKD)
        rows = self.fields.batch_rows(ids_BF)
        read = self.w1.read(rows)
        emb_BFD, read.vectors_UD = rows.vectors(read.values_UW, self.w2_FKD)
        return emb_BFD

    def tables(self) -> list[RowTable]:
        return [self.w1]

    def batch_l2(self, on: str) -> Tensor:
        """‖·‖² of the rows that the last batch held: of W1's rows and W2 ("factors"), or of their product."""
        read = self.w1.last_read
        if on == "product":
            assert read.vectors_UD is not None
            return read.rows.once(read.vectors_UD).square().sum()
        return read.rows.once(read.values_UW).square().sum() + self.w2_FKD.square().sum()

    def add_table_l2(self, strength: float, on: str) -> None:
        """Add the gradient of strength/2·‖·‖² over all rows to that of the last batch, for W1 and W2.

        With E = W1 W2: ∂½‖E‖²/∂W1 = W1 (W2 W2ᵀ) and ∂½‖E‖²/∂W2 = (W1ᵀ W1) W2: k × k products are enough.
        """
        w1_VK, w2_FKD = self.w1.weight.detach(), self.w2_FKD.detach()
        grad_VK, grad_FKD = self.w1.densify(), self.w2_FKD.grad
        if on == "factors":
            grad_VK.add_(w1_VK, alpha=strength)
            if grad_FKD is not None:
                grad_FKD.add_(w2_FKD, alpha=strength)
            return
        bounds = self.fields.bounds
        for field, w2_KD in enumerate(w2_FKD):
            w1_NK = w1_VK[bounds[field] : bounds[field + 1]]
            grad_VK[bounds[field] : bounds[field + 1]].addmm_(w1_NK, w2_KD @ w2_KD.t(), alpha=strength)
            if grad_FKD is not None:
                grad_FKD[field].addmm_(w1_NK.t() @ w1_NK, w2_KD, alpha=strength)

    def factors(self, field: int) -> tuple[Tensor, ...]:
        """(W1, W2) of one field."""
        bounds = self.fields.bounds
        return self.w1.weight.detach()[bounds[field] : bounds[field + 1]], self.w2_FKD[field].detach()

    @torch.no_grad()
    def collapse(self) -> SingleEmbedding:
        """A new single-layer embedding that holds W1·W2, the product taken in float64."""
        w1_VK = self.w1.weight
        weight_VD = w1_VK.new_zeros(len(w1_VK), self.dim)
        for field, rows_N in self.fields.blocks():
            w2_KD = self.w2_FKD[field].double()
            for rows in torch.split(rows_N, COLLAPSE_ROWS):
                weight_VD[rows] = (w1_VK[rows].double() @ w2_KD).to(w1_VK.dtype)
        fields, order_V = self.fields.served()
        return SingleEmbedding.from_weights(fields, weight_VD if order_V is None else weight_VD[order_V])


def initial_w2(
    fields: FieldOffsets, inner: int, dim: int, inner_std: float | None, generator: torch.Generator | None = None
) -> Tensor:
    """w2_FKD: normal with standard deviation `inner_std`, or with a mean square of exactly 1/k in every field."""
    w2_FKD = torch.randn(len(fields.cardinalities), inner, dim, generator=generator)
    if inner_std is None:
        return w2_FKD.mul_((dim / w2_FKD.square().sum((1, 2), keepdim=True)).sqrt())
    return w2_FKD.mul_(inner_std)

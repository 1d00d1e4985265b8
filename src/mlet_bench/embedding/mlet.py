"""Multi-Layer Embedding Training (arXiv 2309.15881): each n × d table trained as (n × k)·(k × d).

The start is fair to a single table: every field's W2 has mean square 1/k and W1 the variance of the single table, so
that the product has it too, and W2ᵀW2 is the identity on average, so that k does not act as a learning rate under
SGD.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mlet_bench.config import EmbConfig
from mlet_bench.embedding.base import Embedding
from mlet_bench.embedding.single import SingleEmbedding
from mlet_bench.embedding.table import FieldRows, RowTable, initial_rows

COLLAPSE_ROWS = 1 << 18


class MLETEmbedding(Embedding):
    """W1 of all fields in one V × k table, and a k × d W2 per field.

    Example:
        >>> emb = MLETEmbedding([3, 5], w1_VK=torch.ones(8, 4), w2_FKD=torch.ones(2, 4, 2))
        >>> emb(torch.tensor([[1, 4]]))[0, 0].tolist()
        [4.0, 4.0]
        >>> emb.collapse()(torch.tensor([[1, 4]]))[0, 0].tolist()
        [4.0, 4.0]
    """

    def __init__(self, cardinalities: Sequence[int], w1_VK: Tensor, w2_FKD: Tensor) -> None:
        super().__init__()
        self.cardinalities = tuple(cardinalities)
        self.dim = w2_FKD.shape[2]
        self.fields = FieldRows(cardinalities)
        self.w1 = RowTable(w1_VK)
        self.w2_FKD = nn.Parameter(w2_FKD)

    @classmethod
    def initial(cls, cardinalities: Sequence[int], seen_V: Tensor, config: EmbConfig) -> "MLETEmbedding":
        """Drawn from PyTorch's global generator; rows of W1 where `seen_V` is false are zero."""
        assert config.inner is not None
        w1_VK = initial_rows(cardinalities, config.inner, config.init_std)
        w2_FKD = torch.randn(len(cardinalities), config.inner, config.dim)
        w2_FKD *= (config.dim / w2_FKD.square().sum((1, 2), keepdim=True)).sqrt()  # mean square 1/k in every field
        return cls(cardinalities, w1_VK.mul_(seen_V[:, None]), w2_FKD)

    def forward(self, ids_BF: Tensor) -> Tensor:
        """emb_BFD for ids within their fields; each different row is projected once."""
        different = self.fields.different(ids_BF)
        rows_U = different.rows_U
        self._product_UD = project(self.w1.take(rows_U), self.w2_FKD, self.fields.segments(rows_U))
        return different.spread(self._product_UD)

    def tables(self) -> list[RowTable]:
        return [self.w1]

    def batch_l2(self, on: str) -> Tensor:
        """‖·‖² of the rows that the last batch held: of W1's rows and W2 ("factors"), or of their product."""
        if on == "product":
            return self._product_UD.square().sum()
        assert self.w1.taken_UW is not None
        return self.w1.taken_UW.square().sum() + self.w2_FKD.square().sum()

    def add_table_l2(self, strength: float, on: str) -> None:
        """Add the gradient of strength/2·‖·‖² over all rows to that of the last batch, for W1 and W2.

        With E = W1 W2: ∂½‖E‖²/∂W1 = W1 (W2 W2ᵀ) and ∂½‖E‖²/∂W2 = (W1ᵀ W1) W2: k × k products are enough.
        """
        w1_VK, w2_FKD = self.w1.weight, self.w2_FKD.detach()
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
        return self.w1.weight[bounds[field] : bounds[field + 1]], self.w2_FKD[field].detach()

    @staticmethod
    def table_widths(config: EmbConfig) -> list[int]:
        assert config.inner is not None
        return [config.inner]

    @staticmethod
    def other_parameters(fields: int, config: EmbConfig) -> int:
        assert config.inner is not None
        return fields * config.inner * config.dim

    def collapse(self) -> SingleEmbedding:
        """A new single-layer embedding that holds W1·W2, the product taken in float64."""
        weight_VD = torch.empty(self.w1.weight.shape[0], self.dim, device=self.w1.weight.device)
        bounds = self.fields.bounds
        for field, w2_KD in enumerate(self.w2_FKD.detach().double()):
            for start in range(bounds[field], bounds[field + 1], COLLAPSE_ROWS):
                rows = slice(start, min(start + COLLAPSE_ROWS, bounds[field + 1]))
                weight_VD[rows] = (self.w1.weight[rows].double() @ w2_KD).float()
        return SingleEmbedding(self.cardinalities, weight_VD)


class _Project(torch.autograd.Function):
    """Rows of each field times that field's W2, written into one output.

    Slicing and concatenating under autograd would copy the whole gradient once per field in the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, rows_UK: Tensor, w2_FKD: Tensor, segments: list[int]) -> Tensor:
        ctx.save_for_backward(rows_UK, w2_FKD)
        ctx.segments = segments
        product_UD = rows_UK.new_empty(len(rows_UK), w2_FKD.shape[2])
        for field, (start, end) in enumerate(itertools.pairwise(segments)):
            torch.mm(rows_UK[start:end], w2_FKD[field], out=product_UD[start:end])
        return product_UD

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        (grad_UD,) = gradients
        rows_UK, w2_FKD = ctx.saved_tensors
        grad_UK = torch.empty_like(rows_UK)
        grad_FKD = torch.empty_like(w2_FKD) if ctx.needs_input_grad[1] else None
        for field, (start, end) in enumerate(itertools.pairwise(ctx.segments)):
            torch.mm(grad_UD[start:end], w2_FKD[field].t(), out=grad_UK[start:end])
            if grad_FKD is not None:
                torch.mm(rows_UK[start:end].t(), grad_UD[start:end], out=grad_FKD[field])
        return grad_UK, grad_FKD, None


def project(rows_UK: Tensor, w2_FKD: Tensor, segments: list[int]) -> Tensor:
    """U × D: rows segments[f] … segments[f + 1] of `rows_UK` times w2_FKD[f]."""
    product: Tensor = _Project.apply(rows_UK, w2_FKD, segments)  # type: ignore[no-untyped-call]
    return product

"""A control of MLET: W2 keeps its random start, so that W1 alone is trained.

What it gains over a standard embedding is not the adaptive update of two trained factors, but the change of coordinates
that a fixed random W2 makes to the optimiser.
"""

from torch import Tensor

from mlet_bench.embedding.mlet import MLETEmbedding
from mlet_bench.embedding.rows import FieldOffsets


class FrozenMLETEmbedding(MLETEmbedding):
    """MLETEmbedding whose W2 is not trained.

    Example:
        >>> emb = FrozenMLETEmbedding([3, 5], dim=2, inner=4)
        >>> [name for name, value in emb.named_parameters() if value.requires_grad]
        ['w1.weight']
    """

    def _set(self, fields: FieldOffsets, w1_VK: Tensor, w2_FKD: Tensor) -> None:
        super()._set(fields, w1_VK, w2_FKD)
        self.w2_FKD.requires_grad_(False)

    def factors(self, field: int) -> tuple[Tensor, ...]:
        """None: what is predicted of a step is the update of two trained factors."""
        return ()

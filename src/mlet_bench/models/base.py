"""What all models are: a network around an embedding that it was handed."""

from typing import Any, ClassVar

from torch import Tensor, nn

from mlet_bench.config import Section
from mlet_bench.embedding import Embedding


class CTRModel(nn.Module):
    """Called as Model(embedding, num_numeric, settings); maps ids and numeric columns to a logit."""

    Settings: ClassVar[type[Section]]
    """The schema of the model's section in the config, its name left out."""

    def __init__(self, embedding: Embedding, *_: Any) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
        """logit_B."""
        raise NotImplementedError

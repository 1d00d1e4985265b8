"""AutoInt and AutoInt+ (Song et al. 2019, arXiv 1810.11921).

B batch, F sparse fields, N numeric columns, D embedding width, S = N + F vectors that attend to each other, A width of
all heads together, H heads.
"""

from typing import Literal

import torch
from pydantic import Field, ValidationInfo, field_validator, model_validator
from torch import Tensor, nn

from mlet_bench.embedding import Embedding
from mlet_bench.errors import UserError
from mlet_bench.models.attention import attend
from mlet_bench.models.base import CTRModel
from mlet_bench.models.layers import DeepSettings, FirstOrder, NumericVectors, deep, initialise
from mlet_bench.models.linear import Linear, linear


class AutoIntSettings(DeepSettings):
    attention_layers: int = Field(ge=1)
    attention_heads: int = Field(ge=1)
    attention_dim: int | None = Field(ge=1)
    use_scale: bool
    use_residual: bool
    layer_norm: bool
    use_wide: bool
    dropout_on: Literal["weights", "weights_and_outputs"] = "weights_and_outputs"
    """A default, because configs of runs made before it do not have it; without dropout both are the same run."""

    @field_validator("dropout_on")
    @classmethod
    def _the_same_without_dropout(cls, value: str, info: ValidationInfo) -> str:
        return value if info.data.get("dropout") else "weights_and_outputs"

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "AutoIntSettings":
        if self.attention_dim is not None and self.attention_dim % self.attention_heads:
            raise ValueError(
                f"model.attention_dim={self.attention_dim}: allowed: a multiple of model.attention_heads, "
                f"{self.attention_heads}"
            )
        return self


class Interacting(nn.Module):
    """An interacting layer (section 4.3): each vector becomes ReLU(heads' attention over all vectors + W_res v).

    Where the widths agree the residual is the vector itself.
    """

    def __init__(self, inputs: int, width: int, settings: AutoIntSettings) -> None:
        super().__init__()
        self.heads = settings.attention_heads
        self.scale = (width // self.heads) ** -0.5 if settings.use_scale else 1.0
        self.query = Linear(inputs, width, bias=False)
        self.key = Linear(inputs, width, bias=False)
        self.value = Linear(inputs, width, bias=False)
        self.residual: nn.Module | None = None
        if settings.use_residual:
            self.residual = nn.Identity() if inputs == width else Linear(inputs, width, bias=False)
        self.norm = nn.LayerNorm(width) if settings.layer_norm else nn.Identity()
        self.dropout = nn.Dropout(settings.dropout) if settings.dropout > 0 else nn.Identity()
        self.out_dropout = self.dropout if settings.dropout_on == "weights_and_outputs" else nn.Identity()

    def forward(self, vectors_BSD: Tensor) -> Tensor:
        """B × S × A."""
        dropping = self.training and isinstance(self.dropout, nn.Dropout)
        piecewise = vectors_BSD.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and not dropping
        out_BSA = self._attend_in_pieces(vectors_BSD) if piecewise else self._attend_whole_batch(vectors_BSD)
        normed_BSA: Tensor = self.norm(out_BSA)
        return normed_BSA.relu()

    def _attend_in_pieces(self, vectors_BSD: Tensor) -> Tensor:
        """On a CPU: the projections in one product, attention without its weights being kept."""
        layers = [self.query, self.key, self.value]
        if isinstance(self.residual, Linear):
            layers.append(self.residual)
        projected_BSP = linear(vectors_BSD, torch.cat([layer.weight for layer in layers]))
        out_BSA = attend(projected_BSP, self.query.out_features, self.heads, self.scale)
        return out_BSA + vectors_BSD if isinstance(self.residual, nn.Identity) else out_BSA

    def _attend_whole_batch(self, vectors_BSD: Tensor) -> Tensor:
        """By PyTorch's own operators: on a GPU, in bfloat16, and with dropout of attention weights."""
        query_BHSA, key_BHSA, value_BHSA = (
            part(vectors_BSD).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        attention_BHSS = (query_BHSA @ key_BHSA.transpose(2, 3) * self.scale).softmax(3)
        heads_BHSA = self.dropout(attention_BHSS) @ value_BHSA
        out_BSA: Tensor = self.out_dropout(heads_BHSA.transpose(1, 2).flatten(2))
        return out_BSA if self.residual is None else out_BSA + self.residual(vectors_BSD)


class AutoInt(CTRModel):
    """Interacting layers over all vectors and a linear layer; beside them an MLP (AutoInt+) and a linear part.

    Example:
        >>> import torch
        >>> from mlet_bench.embedding import SingleEmbedding
        >>> settings = AutoIntSettings(attention_layers=2, attention_heads=2, attention_dim=6, use_scale=False,
        ...                            use_residual=True, layer_norm=False, use_wide=False, mlp=(), dropout=0.0,
        ...                            batch_norm=False, init="xavier_normal")
        >>> model = AutoInt(SingleEmbedding.empty([3, 5], dim=4), num_numeric=2, settings=settings)
        >>> model(torch.tensor([[1, 4]]), torch.zeros(1, 2)).shape
        torch.Size([1])
    """

    Settings = AutoIntSettings

    def __init__(self, embedding: Embedding, num_numeric: int, settings: AutoIntSettings) -> None:
        super().__init__(embedding)
        vectors, width = num_numeric + len(embedding.cardinalities), settings.attention_dim or embedding.dim
        if width % settings.attention_heads:
            raise UserError(
                f"emb.dim={width}: the width of attention too with model.attention_dim=null; allowed: a multiple of "
                f"model.attention_heads, {settings.attention_heads}"
            )
        self.numeric = NumericVectors(num_numeric, embedding.dim)
        self.interacting = nn.Sequential(
            *(Interacting(width if i else embedding.dim, width, settings) for i in range(settings.attention_layers))
        )
        self.out = Linear(vectors * width, 1)
        self.deep = deep(vectors * embedding.dim, settings, output=1) if settings.mlp else None
        self.linear = FirstOrder(embedding.cardinalities, num_numeric) if settings.use_wide else None
        initialise(self, settings.init)

    def forward(self, ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
        """logit_B."""
        vectors_BSD = self.numeric(numeric_BN, self.embedding(ids_BF))
        logit_B: Tensor = self.out(self.interacting(vectors_BSD).flatten(1)).squeeze(1)
        if self.deep is not None:
            logit_B = logit_B + self.deep(vectors_BSD.flatten(1)).squeeze(1)
        if self.linear is not None:
            logit_B = logit_B + self.linear(ids_BF, numeric_BN)
        return logit_B

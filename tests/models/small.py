"""Small models of every kind."""

from typing import Any

import torch
import yaml

from mlet_bench import models
from mlet_bench.commands.help_text import choices
from mlet_bench.config import ModelSection
from mlet_bench.embedding import Embedding, MLETEmbedding, SingleEmbedding
from mlet_bench.models import CTRModel
from mlet_bench.system.shipped import shipped

DIM, INNER = 4, 6
SMALL: dict[str, Any] = {
    "attention_dim": 6,
    "bottom_mlp": [6, 5],
    "cin_layers": [5, 3],
    "cross_layers": 2,
    "dropout": 0.0,
    "low_rank": 3,
    "mlp": [8, 7],
    "num_experts": 2,
    "top_mlp": [7],
}
"""Instead of the sizes in conf/model/, in the models that have such a setting."""


def section(name: str, **changes: Any) -> ModelSection:
    """The choice conf/model/<name>.yaml with small sizes and these changes."""
    values = yaml.safe_load((shipped() / "model" / f"{name}.yaml").read_text())
    small = {key: value for key, value in SMALL.items() if values.get(key)}
    unknown = changes.keys() - values.keys()
    assert not unknown, unknown
    return ModelSection.model_validate({**values, **small, **changes})


def embedding(fields: int, factorised: bool = False) -> Embedding:
    """Five categories a field, random vectors."""
    if factorised:
        return MLETEmbedding.from_weights([5] * fields, torch.randn(5 * fields, INNER), torch.randn(fields, INNER, DIM))
    return SingleEmbedding.from_weights([5] * fields, torch.randn(5 * fields, DIM))


def small_model(name: str, fields: int, numeric: int, *, factorised: bool = False, **changes: Any) -> CTRModel:
    """A model in evaluation mode whose first-order weights and biases are not the zeros that they start with."""
    torch.manual_seed(0)
    model = models.build(section(name, **changes), embedding(fields, factorised), numeric)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if key.startswith("linear.") or "bias" in key:
                weight.normal_()
    return model.eval()


def rows(batch: int, fields: int, numeric: int) -> tuple[torch.Tensor, torch.Tensor]:
    """ids_BF and numeric_BN."""
    generator = torch.Generator().manual_seed(1)
    ids_BF = torch.randint(5, (batch, fields), generator=generator)
    return ids_BF, torch.randn(batch, numeric, generator=generator)


ALL = choices("model")

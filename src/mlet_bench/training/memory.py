"""How much memory a model will take to train, before any of it is taken.

V rows of a table, W its width, F sparse fields.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from mlet_bench import models
from mlet_bench.config import EmbConfig, ModelSection, TrainConfig
from mlet_bench.config.emb import single_of
from mlet_bench.embedding import RowTable, empty_served
from mlet_bench.embedding import build as build_embedding
from mlet_bench.embedding.table import state_numbers
from mlet_bench.errors import UserError
from mlet_bench.models import CTRModel
from mlet_bench.system.limits import available_memory_bytes
from mlet_bench.training.optimizers import dense_rows

FLOAT = 4
LEAST = 1 << 28
"""Bytes of a plan that are not worth a refusal: PyTorch's own."""
HELD_PER_KEPT = 2.5
"""What a step's network holds at most, in units of what its forward pass keeps for the backward pass: that, gradients,
and what the allocator cannot use again. Found by measuring six models (docs/performance.md)."""
ROWS = 16
COPIES = 3
"""Of a network's weights that a run holds at least: weights, gradients and the collapsed model's, or more."""


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes that a run will take beside what the process holds already."""

    weights: int
    gradients: int
    optimizer: int
    batch: int
    rows: int
    """Of the training split, as far as they are held."""
    evaluation: int
    """Of the collapsed model, and of the single-layer one that inference is timed beside; after training."""
    spectra: int = 0
    """Of the copy of the embedding that a step is compared with, for train.spectra."""

    @property
    def model(self) -> int:
        """Of the collapsed model."""
        return self.evaluation // 2

    @property
    def bytes(self) -> int:
        """The most at a time: evaluation begins when gradients and optimiser state are gone."""
        training = self.weights + self.gradients + self.optimizer + self.batch + self.rows + self.spectra
        return max(training, self.weights + self.evaluation)

    def check(self, device: torch.device) -> None:
        """UserError with the bytes and the ways out if it does not fit the memory that is free."""
        host = available_memory_bytes()
        if device.type == "cuda" and self.weights > max(host, LEAST):
            raise UserError(
                f"the model takes about {self.weights:,} bytes and is made in the machine's own memory before it goes "
                f"to the GPU; {host:,} are free there; a smaller emb.inner or emb.dim or a higher dataset.min_count "
                "helps"
            )
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else host
        if self.bytes <= max(free, LEAST):
            return
        parts = ", ".join(f"{name} {size:,}" for name, size in asdict(self).items() if size)
        raise UserError(
            f"the run needs about {self.bytes:,} bytes of memory ({parts}) and {free:,} are free; a smaller emb.inner "
            "or emb.dim, train.optimizer=rowwise_adagrad or sgd, train.update=lazy, a higher dataset.min_count or a "
            "smaller train.shuffle_gb helps"
        )


def plan(
    model: ModelSection,
    emb: EmbConfig,
    train: TrainConfig,
    cardinalities: Sequence[int],
    numeric: int,
    rows: int = 0,
    device: str = "cpu",
    shares: int = 1,
) -> MemoryPlan:
    """For a model over tables of these rows, built without memory; `rows` are the bytes of training rows in memory.

    `shares`: into how many equal parts tables are sharded, of which one is held.
    """
    trained = _built(model, emb, cardinalities, numeric, "meta")
    with torch.device("meta"):
        collapsed = models.build(model, empty_served(emb, cardinalities), numeric)
    tables = [part.weight for part in trained.modules() if isinstance(part, RowTable)]
    in_tables = sum(weight.numel() for weight in tables)
    dense = _numbers(trained) - in_tables
    in_tables //= shares
    table_rows = sum(len(weight) for weight in tables) // shares
    state = state_numbers(train.optimizer, dense, dense) + state_numbers(train.optimizer, in_tables, table_rows)
    places = train.batch_size * len(cardinalities)
    read = sum((min(places, len(weight)) if device == "cpu" else places) * weight.shape[1] for weight in tables)
    copies = 2 + (2 if train.optimizer == "adam" else 0)  # rows and their gradients; what Adam keeps for them
    step = 0.0
    if FLOAT * dense <= available_memory_bytes() // COPIES:  # else it is refused whatever a step takes
        small = _built(model, single_of(emb), [2] * len(cardinalities), numeric, "cpu" if device == "cpu" else "meta")
        step = HELD_PER_KEPT * train.batch_size * _kept_for_backward(small, len(cardinalities), numeric)
    return MemoryPlan(
        weights=FLOAT * (dense + in_tables),
        gradients=FLOAT * (dense + (in_tables if dense_rows(train, emb) else 0)),
        optimizer=FLOAT * state,
        batch=FLOAT * copies * read + int(step),
        rows=rows,
        evaluation=2 * FLOAT * _numbers(collapsed) // shares,
        spectra=FLOAT * _numbers(trained.embedding) if train.spectra else 0,
    )


def _numbers(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _built(model: ModelSection, emb: EmbConfig, cardinalities: Sequence[int], numeric: int, device: str) -> CTRModel:
    """A model on a device, on "meta" without memory; nothing is drawn from the generator that runs draw from."""
    state = torch.get_rng_state()
    with torch.device(device):
        built = models.build(model, build_embedding(emb, cardinalities), numeric)
    torch.set_rng_state(state)
    return built


def _kept_for_backward(model: CTRModel, fields: int, numeric: int) -> float:
    """Bytes that a row's forward pass keeps for the backward pass, as autograd has them in a pass over a few rows.

    On the meta device the pass takes the path of a GPU.
    """
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    device = next(model.parameters()).device
    state = torch.get_rng_state()  # dropout draws
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        ids_BF = torch.zeros(ROWS, fields, dtype=torch.int32, device=device)
        logit_B = model(ids_BF, torch.zeros(ROWS, numeric, device=device))
    torch.set_rng_state(state)
    del logit_B
    return sum(kept.values()) / ROWS

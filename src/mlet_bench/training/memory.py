"""How much memory a model will take to train, before any of it is taken.

V rows of a table, W its width, F sparse fields.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from mlet_bench import models
from mlet_bench.config import EmbConfig, ModelSection, TrainConfig
from mlet_bench.embedding import RowTable, SingleEmbedding
from mlet_bench.embedding import build as build_embedding
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
    model: ModelSection, emb: EmbConfig, train: TrainConfig, cardinalities: Sequence[int], numeric: int, rows: int = 0
) -> MemoryPlan:
    """For a model over tables of these rows; `rows` are the bytes of the training rows that are held."""
    fields, categories = len(cardinalities), sum(cardinalities)
    tiny = _tiny(model, emb.dim, fields, numeric, "meta")  # takes no memory, and no time
    own, inside = tiny.embedding.tables(), {id(table) for table in tiny.embedding.tables()}
    tables = [part for part in tiny.modules() if isinstance(part, RowTable)]
    first_order = [table.weight.shape[1] for table in tables if id(table) not in inside]
    network = sum(p.numel() for p in tiny.parameters()) - sum(table.weight.numel() for table in tables)
    widths, beside = first_order, 0
    if own:
        with torch.device("meta"):
            embedding = build_embedding(emb, [2] * fields)
        widths = [table.weight.shape[1] for table in embedding.tables()] + first_order
        in_embedding = {id(table.weight) for table in embedding.tables()}
        beside = sum(p.numel() for p in embedding.parameters() if id(p) not in in_embedding)
    dense = network + beside
    in_tables = categories * sum(widths)
    state = {
        "adam": 2 * (dense + in_tables),
        "sgd": 0,
        "rowwise_adagrad": dense + categories * len(widths),
    }[train.optimizer]
    taken = min(train.batch_size * fields, categories) * sum(widths)
    copies = 2 + (2 if train.optimizer == "adam" else 0)  # rows and their gradients; what Adam keeps for them
    step = 0.0
    if FLOAT * network <= available_memory_bytes() // COPIES:  # else it is refused whatever a step takes
        built = _tiny(model, emb.dim, fields, numeric, "cpu")
        step = HELD_PER_KEPT * train.batch_size * _kept_for_backward(built, fields, numeric)
    single = network + categories * ((emb.dim if own else 0) + sum(first_order))
    return MemoryPlan(
        weights=FLOAT * (dense + in_tables),
        gradients=FLOAT * (dense + (in_tables if dense_rows(train, emb) else 0)),
        optimizer=FLOAT * state,
        batch=FLOAT * copies * taken + int(step),
        rows=rows,
        evaluation=2 * FLOAT * single,
        spectra=FLOAT * (categories * (sum(widths) - sum(first_order)) + beside) if train.spectra else 0,
    )


def _tiny(model: ModelSection, dim: int, fields: int, numeric: int, device: str) -> CTRModel:
    """The model over tables of two rows; nothing is drawn from the generator that runs draw from."""
    state = torch.get_rng_state()
    with torch.device(device):
        tiny = models.build(model, SingleEmbedding.empty([2] * fields, dim), numeric)
    torch.set_rng_state(state)
    return tiny


def _kept_for_backward(tiny: CTRModel, fields: int, numeric: int) -> float:
    """Bytes that a row's forward pass keeps for the backward pass, told by autograd in a pass over a few rows."""
    own = {p.untyped_storage().data_ptr() for p in tiny.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    state = torch.get_rng_state()  # dropout draws
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logit_B = tiny(torch.zeros(ROWS, fields, dtype=torch.int32), torch.zeros(ROWS, numeric))
    torch.set_rng_state(state)
    del logit_B
    return sum(kept.values()) / ROWS

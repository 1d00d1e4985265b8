"""What a run on TorchRec would take of each of its processes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlet_bench.data.sizes import Sizes
from mlet_bench.training.memory import MemoryPlan

if TYPE_CHECKING:  # they need TorchRec
    from mlet_bench.embedding.forecast import Forecast, Tables, World


@dataclass(frozen=True)
class RunPlan:
    sizes: Sizes
    tables: "Tables"
    world: "World"
    forecast: "Forecast"
    beside: MemoryPlan
    """Of each process, for all but the tables."""
    replicated: int
    """Numbers of the network and of W2, whose gradients every process exchanges in every step."""

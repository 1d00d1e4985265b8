"""Where a run is trained."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from mlet_bench.config.base import Section

MOST_PROCESSES = 4096


def _world(value: Any) -> Any:
    """So many machines with so many processes each, written as 8x8."""
    if value is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})", str(value))
    if found is None or int(found[1]) * int(found[2]) > MOST_PROCESSES:
        raise ValueError(
            f"no world; allowed: machines x processes on each, as 8x8, {MOST_PROCESSES:,} processes at most"
        )
    return value


class HardwareConfig(Section):
    device: Literal["cpu", "cuda"]
    threads: int | None = Field(ge=1, le=4096)
    precision: Literal["float32", "tf32", "bfloat16"]
    """Of the dense network's products while it is trained; everything else is float32."""
    sharding: Literal["auto", "row_wise", "table_wise"] | None = None
    """How TorchRec lays the tables over the processes; null: every process holds them whole, without TorchRec."""
    world: Annotated[str | None, BeforeValidator(_world)] = None
    """Machines and processes on each that `plan=true` plans for."""
    memory_gib: float | None = Field(default=None, gt=0)
    """Of each of their processes: a GPU's, or on CPU a process's part of its machine's."""

    @property
    def machine(self) -> dict[str, Any]:
        """What a machine is asked for."""
        return {"device": self.device, "threads": self.threads, "precision": self.precision}

    @model_serializer(mode="wrap")
    def _as_given(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Of hardware that holds tables whole nothing is said of how they are sharded, nor of a world not planned."""
        optional = ("sharding", "world", "memory_gib")
        return {name: value for name, value in whole(self).items() if name not in optional or value is not None}

    @property
    def in_fingerprint(self) -> dict[str, Any]:
        """What can change a result by more than the order of sums does: how the tables lie, and over how many
        processes, does not."""
        return self.machine | ({} if self.sharding is None else {"tables": "torchrec"})

    @model_validator(mode="after")
    def _tf32_is_a_gpus(self) -> "HardwareConfig":
        if self.precision == "tf32" and self.device == "cpu":
            raise ValueError(
                "hardware.precision=tf32: GPUs alone have it; allowed with hardware=cpu: float32, bfloat16"
            )
        return self

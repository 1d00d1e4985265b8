"""Where a run is trained."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from mlet_bench.config.base import Section


class HardwareConfig(Section):
    device: Literal["cpu", "cuda"]
    threads: int | None = Field(ge=1, le=4096)
    precision: Literal["float32", "tf32", "bfloat16"]
    """Of the dense network's products while it is trained; everything else is float32."""
    sharding: Literal["auto", "row_wise", "table_wise"] | None = None
    """How TorchRec lays the tables over the processes; null: every process holds them whole, without TorchRec."""

    @property
    def machine(self) -> dict[str, Any]:
        """What a machine is asked for."""
        return {"device": self.device, "threads": self.threads, "precision": self.precision}

    @model_serializer(mode="wrap")
    def _as_given(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Hardware that holds tables whole takes no setting for sharding."""
        return {name: value for name, value in whole(self).items() if name != "sharding" or value is not None}

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

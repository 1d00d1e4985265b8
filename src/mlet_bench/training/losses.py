"""Whether losses are finite: looked at in every step on a CPU, and on a GPU without a wait in any step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol

import torch
from torch import Tensor

from mlet_bench.data.batches import Batch
from mlet_bench.training.optimizers import Optimizers

LOOK_EVERY = 50
"""Steps between two looks at a GPU's losses."""


@dataclass(frozen=True)
class BadLoss:
    """The first part of a loss that was not finite. Weights are as they were before its step."""

    name: str
    value: float
    step: int
    batch: Batch


class Losses(Protocol):
    every: int
    """Steps after which `look` has news."""

    def checks(self, step: int, batch: Batch) -> Callable[[str, Tensor], None]:
        """What is given each part of a step's loss, by name, before anything moves."""

    def look(self) -> None:
        """Report the first loss that was not finite, if there was one."""


def losses_for(fail: Callable[[BadLoss], NoReturn], optimizers: Optimizers, device: torch.device) -> Losses:
    """The kind that suits a device."""
    if device.type == "cpu" or optimizers.shards:  # those cannot be told to stand still
        return CheckedLosses(fail)
    return CollectedLosses(fail, optimizers, device)


class CheckedLosses:
    """Each loss is looked at before anything moves; `fail` gets the first that is not finite."""

    every = 1

    def __init__(self, fail: Callable[[BadLoss], NoReturn]) -> None:
        self._fail = fail

    def checks(self, step: int, batch: Batch) -> Callable[[str, Tensor], None]:
        def check(name: str, loss: Tensor) -> None:
            if not loss.isfinite():
                self._fail(BadLoss(name, float(loss), step, batch))

        return check

    def look(self) -> None:
        """Nothing is left to look at."""


class CollectedLosses:
    """What was not finite is noted on the device and makes all later steps leave the model as it is, until `look`."""

    def __init__(
        self, fail: Callable[[BadLoss], NoReturn], optimizers: Optimizers, device: torch.device, every: int = LOOK_EVERY
    ) -> None:
        self.every = every
        self._fail = fail
        self._bad = torch.zeros((), dtype=torch.bool, device=device)
        self._noted = torch.zeros(3, dtype=torch.float64, device=device)
        """Number of the step since the last look, number of the part, and value of the first bad loss."""
        self._steps: list[tuple[int, Batch]] = []
        self._names: list[str] = []
        optimizers.skip_from(self._bad)

    def checks(self, step: int, batch: Batch) -> Callable[[str, Tensor], None]:
        self._steps.append((step, batch))

        def check(name: str, loss: Tensor) -> None:
            if name not in self._names:
                self._names.append(name)
            finite = loss.isfinite()
            note = torch.stack(
                [torch.full_like(loss, number) for number in (len(self._steps) - 1, self._names.index(name))] + [loss]
            )
            self._noted.copy_(torch.where(self._bad | finite, self._noted, note))
            self._bad |= ~finite

        return check

    def look(self) -> None:
        """Wait for the device."""
        if bool(self._bad):
            place, name, value = self._noted.tolist()
            step, batch = self._steps[int(place)]
            self._fail(BadLoss(self._names[int(name)], value, step, batch))
        self._steps.clear()

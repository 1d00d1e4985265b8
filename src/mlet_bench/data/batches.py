"""The training rows as the batches of an epoch, in an order that seed and epoch alone decide.

A split that fits the memory set for it is held there and shuffled as a whole. A larger one is read while it is
trained on: its row groups are shuffled, and all rows of a window of them are shuffled among themselves.
B batch, F sparse fields, N numeric columns.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from mlet_bench.config import TrainConfig
from mlet_bench.data import Prepared, Split
from mlet_bench.data.prefetch import ahead
from mlet_bench.data.prepare.parts import PART_ROWS
from mlet_bench.system.processes import ALONE, Processes
from mlet_bench.system.seeds import order

Batch = tuple[Tensor, Tensor, Tensor]
"""ids_BF (int32), numeric_BN and label_B (float32), on the device."""
WINDOWS_HELD = 3
"""One is trained on, one is ready, one is being read."""


class TrainingRows(Protocol):
    steps: int
    """Of an epoch."""

    def rows_of(self, step: int) -> int:
        """Of an epoch's batch, in all processes."""

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on; of several processes each gets the rows that it holds."""


def training_rows(
    prepared: Prepared, config: TrainConfig, seed: int, device: torch.device, processes: Processes = ALONE
) -> TrainingRows:
    """The training split, in memory if it fits; with several processes this one's share of it.

    The batches are those of one process, in its order: a row of a batch is trained on where it is held.
    """
    if shuffle_of(prepared, config) != "full":
        return WindowRows(prepared, config.batch_size, seed, device, window_groups(prepared, config), processes)
    rows = prepared.rows["train"]
    own = processes.share(rows)
    if processes.size == 1:
        return MemoryRows(prepared.split("train", counts=False), config.batch_size, seed, device)
    split = prepared.span(_groups(prepared), own)
    return MemoryRows(split, config.batch_size, seed, device, own, rows)


def shuffle_of(prepared: Prepared, config: TrainConfig) -> Any:
    """How an epoch is shuffled: "full", or {"window_groups": W}; it follows from sizes and settings alone."""
    if row_bytes(prepared) * prepared.rows["train"] <= config.shuffle_gb * 1e9:
        return "full"
    return {"window_groups": window_groups(prepared, config)}


def row_bytes(prepared: Prepared) -> int:
    """Bytes of a row in memory: ids, numeric columns and label, four each."""
    return 4 * (len(prepared.fields) + len(prepared.numeric) + 1)


def validation_rows(prepared: Prepared, config: TrainConfig, processes: Processes = ALONE) -> Iterable[Split]:
    """The validation split, to be gone through at every evaluation: in memory where it fits beside the training rows.

    Elsewhere it is read from disk part by part each time. Of each part this process's share.
    """
    if _held_validation(prepared, config):
        return list(prepared.pieces("valid", processes=processes))
    return _Reread(prepared, processes)


@dataclass(frozen=True)
class _Reread:
    prepared: Prepared
    processes: Processes

    def __iter__(self) -> Iterator[Split]:
        return self.prepared.pieces("valid", processes=self.processes)


def _held_validation(prepared: Prepared, config: TrainConfig) -> int:
    """Bytes of the validation split where it is held, or 0."""
    train, valid = (row_bytes(prepared) * prepared.rows[name] for name in ("train", "valid"))
    return valid if train + valid <= config.shuffle_gb * 1e9 else 0


def bytes_held(prepared: Prepared, config: TrainConfig) -> int:
    """Memory for rows while training: those of both splits, as far as they are held, and a part that is evaluated."""
    train = min(row_bytes(prepared) * prepared.rows["train"], int(config.shuffle_gb * 1e9))
    part = PART_ROWS * (row_bytes(prepared) + 8 * len(prepared.fields))
    return train + _held_validation(prepared, config) + part


def window_groups(prepared: Prepared, config: TrainConfig) -> int:
    """Row groups in a window; all windows that are held at a time fit the memory, but one group is the least."""
    group_rows = max(rows for _, _, rows in _groups(prepared))
    return max(1, int(config.shuffle_gb * 1e9 / WINDOWS_HELD / (row_bytes(prepared) * group_rows)))


def _groups(prepared: Prepared) -> list[tuple[str, int, int]]:
    """Part, index and rows of every row group of the training split."""
    return [group for part in prepared.parts("train") for group in prepared.groups(part)]


class MemoryRows:
    """A split on the device; every epoch a shuffle of all its rows. `own`: those that are held, of so many `rows`."""

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        device: torch.device,
        own: range | None = None,
        rows: int | None = None,
    ) -> None:
        self._rows = _tensors(split, device)
        self._batch_size, self._seed = batch_size, seed
        self._own, self._count = range(len(split)) if own is None else own, len(split) if rows is None else rows
        self.steps = math.ceil(self._count / batch_size)

    def rows_of(self, step: int) -> int:
        return min(self._batch_size, self._count - step * self._batch_size)

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        order_R = order(self._count, self._seed, epoch).to(self._rows[2].device)
        for step in range(start, self.steps):
            chosen_B = order_R[step * self._batch_size : (step + 1) * self._batch_size]
            yield _take(self._rows, _held(chosen_B, self._own, self._count))


class WindowRows:
    """A split on disk; every epoch its row groups in another order, and in it each window of them shuffled."""

    def __init__(
        self,
        prepared: Prepared,
        batch_size: int,
        seed: int,
        device: torch.device,
        groups: int,
        processes: Processes = ALONE,
    ) -> None:
        self._prepared, self._batch_size, self._seed, self._device = prepared, batch_size, seed, device
        self._groups, self._window, self._processes = _groups(prepared), groups, processes
        self.steps = math.ceil(prepared.rows["train"] / batch_size)

    def rows_of(self, step: int) -> int:
        return min(self._batch_size, self._prepared.rows["train"] - step * self._batch_size)

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        group_order = order(len(self._groups), self._seed, epoch, "groups").tolist()
        windows = [group_order[at : at + self._window] for at in range(0, len(group_order), self._window)]
        sizes = [sum(self._groups[group][2] for group in window) for window in windows]
        ends = np.cumsum(sizes)
        position = start * self._batch_size
        first = int(np.searchsorted(ends, position, "right"))
        skipped = position - (int(ends[first - 1]) if first else 0)
        rest: Batch | None = None
        missing = 0
        """Rows that the rest of the last window lacks to be a batch, those of other processes among them."""
        with closing(ahead(map(self._read, windows[first:]))) as splits:
            for index, split in enumerate(splits, first):
                rows, own, size = _tensors(split, self._device), self._processes.share(sizes[index]), sizes[index]
                order_R = order(size, self._seed, epoch, "window", index)[skipped:].to(self._device)
                skipped, taken = 0, 0
                if rest is not None:
                    taken = min(missing, len(order_R))
                    rest = _join(rest, _take(rows, _held(order_R[:taken], own, size)))
                    missing -= taken
                    if missing:  # a window smaller than a batch
                        continue
                    yield rest
                whole = taken + (len(order_R) - taken) // self._batch_size * self._batch_size
                for at in range(taken, whole, self._batch_size):
                    yield _take(rows, _held(order_R[at : at + self._batch_size], own, size))
                missing = self._batch_size - (len(order_R) - whole)
                rest = _take(rows, _held(order_R[whole:], own, size)) if whole < len(order_R) else None
        if rest is not None:
            yield rest

    def _read(self, window: list[int]) -> Split:
        """This process's share of the rows of some groups, in the order of the groups on disk."""
        wanted = sorted(self._groups[group] for group in window)
        return self._prepared.span(wanted, self._processes.share(sum(rows for _, _, rows in wanted)))


def _held(chosen_B: Tensor, own: range, rows: int) -> Tensor:
    """Where those of the chosen rows lie that are held, `own` of so many."""
    if len(own) == rows:
        return chosen_B
    return chosen_B[(chosen_B >= own.start) & (chosen_B < own.stop)] - own.start


def _tensors(split: Split, device: torch.device) -> Batch:
    ids_RF, numeric_RN, label_R = map(torch.from_numpy, (split.ids_BF, split.numeric_BN, split.label_B))
    if device.type == "cpu":
        return ids_RF, numeric_RN, label_R
    # From pinned memory the copy runs beside the steps of the window before.
    ids_RF, numeric_RN, label_R = (
        rows.pin_memory().to(device, non_blocking=True) for rows in (ids_RF, numeric_RN, label_R)
    )
    return ids_RF, numeric_RN, label_R


def _take(rows: Batch, chosen_B: Tensor) -> Batch:
    ids_RF, numeric_RN, label_R = rows
    return ids_RF[chosen_B], numeric_RN[chosen_B], label_R[chosen_B]


def _join(one: Batch, other: Batch) -> Batch:
    return torch.cat([one[0], other[0]]), torch.cat([one[1], other[1]]), torch.cat([one[2], other[2]])

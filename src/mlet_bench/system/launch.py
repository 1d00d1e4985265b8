"""Whether this process is one of several that a launcher began (torchrun, srun), and what the first tells the others.

The first process, rank 0, checks, prepares and opens the run folder alone. The others wait for its word and begin
nothing of their own before it, so that a mistake is found and said once.
"""

import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from mlet_bench.errors import RunFailedError, UserError

WORD, SAID = "mlet_bench/word", "mlet_bench/said"
WAIT_SECONDS = 0.1


@dataclass(frozen=True)
class Launch:
    """This process's number among those of the run, and on its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def machines(self) -> int:
        return max(self.size // self.local_size, 1)


def launched() -> Launch:
    """By torchrun's variables, or by those of Slurm's srun where MASTER_ADDR is set; else one process."""
    if not {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return Launch()
    if {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        here = Launch(_number("RANK"), _number("WORLD_SIZE", 1), _number("LOCAL_RANK"), _number("LOCAL_WORLD_SIZE", 1))
    else:  # a batch script has no step, and is one process
        on_machines = os.environ.get("SLURM_STEP_TASKS_PER_NODE", "1")
        local_size = tasks_on(on_machines, _number("SLURM_NODEID"))
        here = Launch(_number("SLURM_PROCID"), _number("SLURM_STEP_NUM_TASKS", 1), _number("SLURM_LOCALID"), local_size)
    return here if here.size > 1 else Launch()


def tasks_on(machines: str, number: int) -> int:
    """How many processes of a Slurm step a machine has.

    >>> [tasks_on("4(x2),3", number) for number in range(4)]
    [4, 4, 3, 1]
    """
    counts: list[int] = []
    for part in re.findall(r"(\d+)(?:\(x(\d+)\))?", machines):
        counts += [int(part[0])] * int(part[1] or 1)
    return counts[number] if number < len(counts) else 1


def check(command: str, words: Sequence[str]) -> None:
    """UserError where several processes are to do what one does."""
    if launched().size > 1 and (command != "train" or {"-m", "--multirun"} & set(words)):
        raise UserError(f"{command}: one process does it; several train a single run (train without -m)")


def _number(name: str, otherwise: int = 0) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdigit() else otherwise


@cache
def store() -> Any:
    """What all processes of the launch can read and write (torch.distributed's)."""
    from torch.distributed.rendezvous import rendezvous

    here = launched()
    found, _, _ = next(rendezvous("env://", here.rank, here.size, timeout=timedelta(minutes=5)))
    return found


def tell(word: dict[str, Any]) -> None:
    """Rank 0's word, the first one given; the later ones are not heard."""
    if launched().size > 1 and launched().rank == 0:
        store().compare_set(WORD, "", json.dumps(word))


def ended(code: int) -> int:
    """Tell with what exit code rank 0 ends, where it had no other word; returns it."""
    tell({"ended": code})
    return code


def word() -> dict[str, Any]:
    """What rank 0 tells the others, waited for; nothing in rank 0 itself. RunFailedError where it has ended."""
    if launched().size == 1:
        return {}
    try:
        shared = store()  # by rank 0 too, since the others look for it for minutes alone, and preparing may take hours
        if launched().rank == 0:
            return {}
        while not shared.check([WORD]):
            time.sleep(WAIT_SECONDS)  # and not in the store, where no signal would reach us
        told: dict[str, Any] = json.loads(shared.get(WORD))
    except RuntimeError:
        raise RunFailedError(
            "the processes of this run did not find each other, or the first one has ended; the same command begins "
            "anew"
        ) from None
    return told


def may_speak() -> bool:
    """Whether this process is the first of the launch to say why it ends; what happens to one happens to all."""
    if launched().size == 1:
        return True
    try:
        if launched().rank == 0 and not store().check([WORD]):
            return True
        return bool(store().add(SAID, 1) == 1)
    except RuntimeError:  # whoever held the store is gone
        return True

"""Time training steps of one and of several processes, and count the bytes that go between them.

Rows of Criteo's shape (909,698 categories), DLRM, batches of 8192 rows in all, a thread for every process, row-wise
Adagrad unless told otherwise. Each number of processes is a launch of torchrun's, in which tables lie whole in every
process (`hardware=cpu`) and in shards (`hardware=torchrec`). Needs `make setup-torchrec`. With `--device cuda` every
process has a GPU.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from rich import box
from rich.console import Console
from rich.table import Table

from mlet_bench.config import TrainCommand, convert_command
from mlet_bench.config.compose import Composer
from mlet_bench.data.batches import MemoryRows
from mlet_bench.data.sources.criteo_like import CARDINALITIES, NUMERIC, rows_like_criteo
from mlet_bench.embedding import build
from mlet_bench.errors import UserError
from mlet_bench.models.seeded import build_model
from mlet_bench.system import torchrec
from mlet_bench.system.hardware import device_for
from mlet_bench.system.several import joined
from mlet_bench.training.optimizers import Optimizers
from mlet_bench.training.step import step

BATCH, BATCHES, WARM_UP = 8192, 4, 2
WIDTHS = {"emb=single": 16, "emb=mlet": 64}
"""Numbers of a row that is asked for: d, and k."""


class Wire:
    """Bytes that this process hands to collective operations and sends to others, and the seconds that it waits."""

    def __init__(self, size: int) -> None:
        self.size, self.seconds = size, 0.0
        self.sent, self.handed = Counter[str](), Counter[str]()
        self._whole = {name: getattr(dist, name) for name in ("all_to_all_single", "all_reduce", "all_gather")}
        dist.all_to_all_single = self._all_to_all
        dist.all_reduce = self._all_reduce
        dist.all_gather = self._all_gather

    def forget(self) -> None:
        self.seconds = 0.0
        self.sent.clear()
        self.handed.clear()

    def _all_to_all(
        self, output: Any, input: Any, output_split_sizes: Any = None, input_split_sizes: Any = None, **named: Any
    ) -> Any:
        own = input.numel() // self.size
        if input_split_sizes:  # in numbers, or in rows of many
            own = input_split_sizes[dist.get_rank()] * (input.numel() // max(input.shape[0], 1))
        kind = "vectors" if input.is_floating_point() else "ids"
        self.handed[kind] += input.nbytes
        self.sent[kind] += (input.numel() - own) * input.element_size()
        return self._timed("all_to_all_single", output, input, output_split_sizes, input_split_sizes, **named)

    def _all_reduce(self, tensor: Any, *args: Any, **named: Any) -> Any:
        self.sent["network"] += 2 * tensor.nbytes * (self.size - 1) // self.size  # as a ring does it
        return self._timed("all_reduce", tensor, *args, **named)

    def _all_gather(self, tensors: Any, tensor: Any, *args: Any, **named: Any) -> Any:
        kind = "vectors" if tensor.is_floating_point() else "ids"
        self.sent[kind] += tensor.nbytes * (self.size - 1)
        return self._timed("all_gather", tensors, tensor, *args, **named)

    def _timed(self, name: str, *args: Any, **named: Any) -> Any:
        work = self._clocked(lambda: self._whole[name](*args, **named))
        return None if work is None else Waited(self, work)

    def _clocked(self, wait: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        try:
            return wait()
        finally:
            self.seconds += time.perf_counter() - began


class Waited(dist.Work):
    """An operation on its way, whose wait is timed."""

    def __init__(self, wire: Wire, work: Any) -> None:
        super().__init__()
        self._wire, self._work = wire, work

    def wait(self, *args: Any) -> Any:
        return self._wire._clocked(lambda: self._work.wait(*args))


def measured(words: tuple[str, ...], steps: int, processes: Any, wire: Wire, device: torch.device) -> dict[str, Any]:
    """Of this process."""
    config = convert_command(TrainCommand, Composer("config").one([*words, f"train.batch_size={BATCH}"]).values)
    cardinalities = CARDINALITIES["filtered"]
    make = build
    if config.hardware.sharding is not None:
        from mlet_bench.embedding.placement import Placement
        from mlet_bench.embedding.sharded import builder

        lr, own = config.train.lr, BATCH // processes.size
        make = builder(Placement(device, config.hardware.sharding, config.train.optimizer, lr, own, 1 << 34))
    model = build_model(config.model, config.emb, cardinalities, NUMERIC, 1, None, make).to(device)
    optimizers = Optimizers(model, config.train, config.emb)
    split = rows_like_criteo(cardinalities, BATCH * BATCHES, seed=1)
    own_rows = processes.share(len(split))
    rows = MemoryRows(split.rows(own_rows.start, own_rows.stop), BATCH, 1, device, own_rows, len(split))
    batches = itertools.chain.from_iterable(rows.batches(epoch, 0) for epoch in itertools.count())
    model.train()
    seconds, unique = list[float](), 0
    for number in range(WARM_UP + steps):
        if number == WARM_UP:
            wire.forget()
        batch = next(batches)
        if number >= WARM_UP:
            unique += sum(len(ids_B.unique()) for ids_B in batch[0].t())
        processes.wait()
        began = time.perf_counter()
        step(model, optimizers, batch, lambda name, value: None, processes=processes)
        if device.type == "cuda":
            torch.cuda.synchronize()
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - began)
    optimizers.finish()
    found = {"seconds": sum(seconds), "waited": wire.seconds, "ms": 1000 * statistics.median(seconds),
             "unique": unique / steps}  # fmt: skip
    found |= {f"sent_{kind}": wire.sent[kind] / steps for kind in ("vectors", "ids", "network")}
    return {**found, "handed": wire.handed["vectors"] / steps}


def work(steps: int, device_name: str, optimizer: str) -> None:
    """What each process of a launch does; the first one prints."""
    device = device_for(device_name, 1, "float32")
    with joined(device, {}, group=True) as processes:
        wire = Wire(processes.size)
        for hardware, emb in itertools.product((f"hardware={device_name}", "hardware=torchrec"), WIDTHS):
            words = (hardware, emb, f"train.optimizer={optimizer}", "hardware.threads=1",
                     f"hardware.device={device_name}")  # fmt: skip
            found = processes.each(measured(words, steps, processes, wire, device))
            if processes.first:
                print(json.dumps({"words": [hardware, emb], "processes": found}), flush=True)


def shown(lines: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title_justify="left",
                  title="Steps of 8192 rows; MB are what a process sends to others in a step")  # fmt: skip
    for name in ("processes", "tables", "emb", "samples/s", "over one", "waits", "vectors MB", "ids MB", "network MB",
                 "vectors over least"):  # fmt: skip
        table.add_column(name, justify="right" if name not in ("tables", "emb") else "left")
    first: dict[str, float] = {}
    for line in lines:
        each, (hardware, emb) = line["processes"], line["words"]
        speed = 1000 * BATCH / max(one["ms"] for one in each)
        base = first.setdefault(emb, speed)
        mean = {name: sum(one[name] for one in each) / len(each) for name in each[0]}
        least = mean["unique"] * WIDTHS[emb] * 4 * 2
        over = f"{mean['handed'] / least:.3f}" if hardware == "hardware=torchrec" and len(each) > 1 else "–"
        sent = [f"{mean[f'sent_{kind}'] / 1e6:.2f}" for kind in ("vectors", "ids", "network")]
        tables = "in shards" if "torchrec" in hardware else "whole"
        waits = f"{mean['waited'] / mean['seconds']:.0%}"
        table.add_row(str(len(each)), tables, emb.removeprefix("emb="), f"{speed:,.0f}", f"{speed / base:.2f}", waits,
                      *sent, over)  # fmt: skip
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--processes", default="1,2", help="numbers of processes, the first one is the base of ratios")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--optimizer", default="rowwise_adagrad", choices=["sgd", "adagrad", "rowwise_adagrad", "adam"])
    given = parser.parse_args()
    if "RANK" in os.environ:  # by torchrun
        work(given.steps, given.device, given.optimizer)
        return 0
    try:
        torchrec.check()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    lines = []
    for size in given.processes.split(","):
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={size}"]
        own = ["--steps", str(given.steps), "--device", given.device, "--optimizer", given.optimizer]
        done = subprocess.run([*launch, __file__, *own], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
        if done.returncode:
            return 1
        lines += [json.loads(line) for line in done.stdout.splitlines()]
    Console(highlight=False, width=max(Console().width, 110)).print(shown(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How long finished runs take to answer, in every way that they can be served, side by side.

    python scripts/bench_serving.py RUN [RUN ...] [--batches 1,100,4096] [--calls 200] [--threads 1]

Each run's collapsed model answers the same rows of its test split as it is (eager), as pt2 and by onnxruntime, the
last two with float32 tables and with 8 bits where there are tables alone; all take turns. Milliseconds a call, the
median and that which 99 % of the calls stay below, and the file's megabytes.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mlet_bench.data import Prepared
from mlet_bench.embedding.quantized import quantize_tables, tables_alone
from mlet_bench.errors import UserError
from mlet_bench.runs import load
from mlet_bench.serving import FORMATS
from mlet_bench.serving.format import Program, Runner


@dataclass
class Way:
    """One way to serve one run."""

    run: str
    name: str
    runner: Runner
    megabytes: float | None
    prepared: Prepared
    seconds: dict[int, list[float]] = field(default_factory=dict)


def ways(path: Path, folder: Path) -> Iterator[Way]:
    run = load.finished(path)
    config, _ = load.config_of(run)
    prepared = load.data_of(run, config)
    name = f"{config.model.name}, {config.emb.mode}"

    def program(bits: int) -> Program:
        model = load.model_of(run, config, prepared.cardinalities, len(prepared.numeric), load.weights_of(run))
        if bits < 32:
            tables_alone(model.embedding, config.emb.mode, f"bits={bits}")
            quantize_tables(model, bits)
        return Program(model, len(prepared.numeric))

    with torch.no_grad():
        yield Way(name, "eager", program(32).runner(), None, prepared)
        for kind in ("pt2", "onnx"):
            for bits in (32, 8):
                own = folder / f"{path.name}-{kind}-{bits}"
                own.mkdir(parents=True)
                try:
                    made = program(bits)
                except UserError as error:
                    print(f"left out: {name}, {kind}, {error}")
                    continue
                FORMATS[kind].write(own, made)
                size = sum(file.stat().st_size for file in own.iterdir()) / 1e6
                yield Way(name, f"{kind}, {bits} bits", FORMATS[kind].read(own, made), size, prepared)


@torch.no_grad()
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--batches", default="1,100,4096")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    batches = [int(word) for word in given.batches.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = [way for path in given.runs for way in ways(path, Path(folder))]
        except UserError as error:
            print(error, file=sys.stderr)
            return 2
        for batch in batches:
            rows = {id(way.prepared): way.prepared.split("test", counts=False) for way in found}
            for call in range(given.calls + 3):
                for way in found:
                    split = rows[id(way.prepared)]
                    chosen = np.arange(call * batch, (call + 1) * batch) % len(split)
                    ids = torch.from_numpy(split.ids_BF[chosen])
                    numeric = torch.from_numpy(split.numeric_BN[chosen])
                    began = time.perf_counter()
                    way.runner(ids, numeric)
                    if call >= 3:  # the first ones allocate
                        way.seconds.setdefault(batch, []).append(time.perf_counter() - began)
    table = Table(title=f"milliseconds a call, median / 99 %; {given.threads} threads, PyTorch {torch.__version__}")
    for heading in ("run", "served as", "MB", *(f"{batch:,} rows" for batch in batches)):
        table.add_column(heading, justify="left" if heading in ("run", "served as") else "right")
    for way in found:
        cells = [f"{1e3 * np.median(of):.3g} / {1e3 * np.quantile(of, 0.99):.3g}" for of in way.seconds.values()]
        table.add_row(way.run, way.name, "" if way.megabytes is None else f"{way.megabytes:.2f}", *cells)
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Time and memory of `prepare` and of the training batches, on rows of Criteo's shape.

    python scripts/bench_data.py [--rows 1000000,3000000,10000000] [--raw FILE] [--work data/bench] [--repeat 3]

Without --raw the rows are generated (labels at random: for timing, never for quality). Every measurement is a process
of its own; of its repetitions the median is shown, memory is the highest. Reader and prepare take turns.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

# Categories to draw from, by field, and shares of missing cells: close to Criteo-Kaggle's.
CATEGORIES = (
    *(1460, 583, 1013122, 220260, 305, 24, 12517, 633, 3, 93145, 5683, 835159, 3194, 27, 14992, 546130, 10),
    *(5652, 2173, 4, 704654, 18, 15, 286181, 105, 142572),
)
INTEGER_MISSING = (0.45, 0, 0.21, 0.22, 0.03, 0.22, 0.04, 0, 0.04, 0.45, 0.04, 0.77, 0.22)
CATEGORY_MISSING = {
    2: 0.03,
    3: 0.03,
    11: 0.03,
    15: 0.03,
    18: 0.44,
    19: 0.44,
    20: 0.03,
    21: 0.76,
    23: 0.03,
    24: 0.44,
    25: 0.44,
}
CRITEO_ROWS, CRITEO_CATEGORIES = 45_840_617, 33_762_577


def generate(path: Path, rows: int, chunk: int = 500_000) -> None:
    """Write rows in the Kaggle layout: power-law categories as 8 hex digits, log-normal integers."""
    import pyarrow as pa
    import pyarrow.csv

    names = [np.char.mod("%08x", np.random.default_rng([7, i]).integers(0, 2**32, n)) for i, n in enumerate(CATEGORIES)]
    popularity = [np.cumsum(np.arange(1, n + 1.0) ** -1.08) for n in CATEGORIES]
    options = pyarrow.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as out:
        for start in range(0, rows, chunk):
            n, rng = min(chunk, rows - start), np.random.default_rng([1, start])
            columns = {"label": pa.array((rng.random(n) < 0.256).astype(np.int8))}
            for i, missing in enumerate(INTEGER_MISSING):
                value = np.floor(rng.lognormal(1.5, 1.8, n)).astype(np.int64) - 2 * (i == 1)
                columns[f"I{i + 1}"] = pa.array(value, mask=rng.random(n) < missing)
            for i, cdf in enumerate(popularity):
                ids = np.searchsorted(cdf / cdf[-1], rng.random(n))
                columns[f"C{i + 1}"] = pa.array(names[i][ids], mask=rng.random(n) < CATEGORY_MISSING.get(i, 0))
            pyarrow.csv.write_csv(pa.table(columns), out, options)
    temporary.replace(path)


def read_alone(raw: Path, categories: str) -> None:
    """pyarrow's csv reader, the whole file, its categories as dictionaries, text or bytes."""
    import pyarrow as pa
    import pyarrow.csv

    from mlet_bench.data.sources.criteo import CATEGORICAL, LAYOUT, NUMERIC

    kinds = {"dictionaries": pa.dictionary(pa.int32(), pa.string()), "text": pa.string(), "bytes": pa.binary()}
    types = {"label": pa.int8(), **dict.fromkeys(NUMERIC, pa.int64()), **dict.fromkeys(CATEGORICAL, kinds[categories])}
    pyarrow.csv.read_csv(
        raw,
        read_options=pyarrow.csv.ReadOptions(column_names=list(LAYOUT.columns)),
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=pyarrow.csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=False),
    )


def dataset(raw: Path) -> Any:
    import yaml

    from mlet_bench.config import CriteoConfig, convert
    from mlet_bench.system.shipped import shipped

    values = yaml.safe_load((shipped() / "dataset" / "criteo.yaml").read_text())
    return convert(CriteoConfig, {**values, "raw": str(raw)}, "dataset")


def measure(kind: str, raw: Path) -> dict[str, float]:
    """One measurement, in this process."""
    import torch

    from mlet_bench import data
    from mlet_bench.data.batches import MemoryRows, WindowRows

    if kind.startswith("read as "):
        began = time.perf_counter()
        read_alone(raw, kind.removeprefix("read as "))
        return {"seconds": time.perf_counter() - began}
    began = time.perf_counter()
    prepared = data.prepared_for(dataset(raw), best=lambda *_: {}, progress=lambda *_: None)
    if kind == "prepare":
        categories = sum(entry["categories"] for entry in prepared.manifest["fields"])
        return {"seconds": time.perf_counter() - began, "categories": categories}
    cpu, began = torch.device("cpu"), time.perf_counter()
    rows = MemoryRows(prepared.split("train", counts=False), 4096, 1, cpu) if kind == "batches, in memory" else None
    loaded = time.perf_counter() - began
    source = rows or WindowRows(prepared, 4096, 1, cpu, groups=2)
    began = time.perf_counter()
    seen = sum(len(label_B) for _, _, label_B in source.batches(0, 0))
    return {"seconds": time.perf_counter() - began, "rows": seen, "loaded": loaded}


class Peak:
    """The most memory that this process holds by itself, looked at every few milliseconds.

    Pages of mapped files are not counted: the system drops them when it needs room.
    """

    def __init__(self) -> None:
        self.bytes, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self._stop.wait(0.01):
            resident, shared = map(int, Path("/proc/self/statm").read_text().split()[1:3])
            self.bytes = max(self.bytes, (resident - shared) * page)


def in_process(kind: str, raw: Path) -> dict[str, float]:
    """One measurement in a process of its own, with its peak memory."""
    words = [sys.executable, __file__, "--measure", kind, "--raw", str(raw)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{kind}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def benchmark(raw: Path, work: Path, repeat: int) -> dict[str, dict[str, float]]:
    """The median of every measurement on one file."""
    os.environ["MLET_BENCH_DATA"] = str(work / "prepared")
    kinds = ("read as dictionaries", "read as text", "read as bytes", "prepare")
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(repeat):
        for kind in kinds:
            shutil.rmtree(work / "prepared", ignore_errors=True)
            found.setdefault(kind, []).append(in_process(kind, raw))
    for _ in range(repeat):
        for kind in ("batches, in memory", "batches, by windows"):
            found.setdefault(kind, []).append(in_process(kind, raw))
    shutil.rmtree(work / "prepared", ignore_errors=True)
    middle = {}
    for kind, runs in found.items():
        middle[kind] = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        middle[kind]["memory"] = max(run["memory"] for run in runs)
    return middle


def show(console: Console, name: str, rows: int, found: dict[str, dict[str, float]]) -> None:
    table = Table(box=box.SIMPLE_HEAD, title=name, title_justify="left")
    for column in ("", "seconds", "rows/s", "peak memory", "prepare takes"):
        table.add_column(column, justify="left" if not column else "right")
    for kind, values in found.items():
        handled = values.get("rows", rows)
        ratio = f"{found['prepare']['seconds'] / values['seconds']:.2f} x" if kind.startswith("read") else ""
        memory = f"{values['memory'] / 1e6:,.0f} MB"
        if kind == "prepare":
            table.caption = f"{values['categories']:,.0f} categories in the training split"
        table.add_row(kind, f"{values['seconds']:.2f}", f"{handled / values['seconds']:,.0f}", memory, ratio)
    console.print(table)


def extrapolate(console: Console, by_rows: dict[int, dict[str, dict[str, float]]]) -> None:
    """What the measured growth means for the whole of Criteo-Kaggle."""
    few, many = (by_rows[rows]["prepare"] for rows in sorted(by_rows)[-2:])
    per_row = (many["seconds"] - few["seconds"]) / (max(by_rows) - sorted(by_rows)[-2])
    per_category = (many["memory"] - few["memory"]) / (many["categories"] - few["categories"])
    seconds = many["seconds"] + per_row * (CRITEO_ROWS - max(by_rows))
    memory = many["memory"] + per_category * (CRITEO_CATEGORIES - many["categories"])
    console.print(
        f"Criteo-Kaggle whole ({CRITEO_ROWS:,} rows, {CRITEO_CATEGORIES:,} categories), extrapolated from "
        f"{sorted(by_rows)[-2]:,} and {max(by_rows):,} rows: {seconds / 60:.1f} min, {memory / 1e9:.1f} GB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="1000000", help="numbers of rows to generate, 1000000,3000000")
    parser.add_argument("--raw", type=Path, help="a file in Criteo's layout instead")
    parser.add_argument("--work", type=Path, default=Path("data/bench"), help="folder for files (default: data/bench)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        with Peak() as peak:
            values = measure(given.measure, given.raw)
        print(json.dumps({**values, "memory": peak.bytes}))
        return
    console = Console(highlight=False)
    if given.raw:
        with given.raw.open("rb") as opened:
            lines = sum(1 for _ in opened)
        show(console, given.raw.name, lines, benchmark(given.raw, given.work, given.repeat))
        return
    by_rows = {}
    for rows in sorted(int(word) for word in given.rows.split(",")):
        raw = given.work / f"criteo-like-{rows}.txt"
        if not raw.exists():
            console.print(f"generating {raw}")
            generate(raw, rows)
        by_rows[rows] = benchmark(raw, given.work, given.repeat)
        show(console, f"{rows:,} rows, {raw.stat().st_size / 1e6:,.0f} MB", rows, by_rows[rows])
    if len(by_rows) > 1:
        extrapolate(console, by_rows)


if __name__ == "__main__":
    main()

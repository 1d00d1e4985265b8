"""Rows/s and peak memory of `predict` on files of different lengths, in Criteo's layout with a million categories.

    python scripts/bench_predict.py [--rows 200000,1000000] [--work data/bench]

The rows are generated (labels at random: for timing, never for quality), a DLRM is trained on 200,000 of them, and
every file is then predicted in a process of its own.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from bench_data import generate

TRAIN_ROWS = 200_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="200000,1000000")
    parser.add_argument("--work", type=Path, default=Path("data/bench"))
    given = parser.parse_args()
    raw, run = given.work / f"criteo-{TRAIN_ROWS}.txt", given.work / "predict-run"
    if not raw.exists():
        generate(raw, TRAIN_ROWS)
    command(["train", "dataset=criteo", f"dataset.raw={raw}", "dataset.item_field=null", "train.batch_size=8192",
             "hardware.threads=1", f"hydra.run.dir={run}"])  # fmt: skip
    print(f"{'rows':>12} {'rows/s':>10} {'seconds':>8} {'peak MiB':>9}")
    for rows in map(int, given.rows.split(",")):
        path, out = given.work / f"criteo-{rows}.txt", given.work / f"predicted-{rows}"
        if not path.exists():
            generate(path, rows)
        began = time.perf_counter()
        peak = command(["predict", f"run={run}", f"dataset.raw={path}", f"hydra.run.dir={out}"])
        seconds, found = time.perf_counter() - began, json.loads((out / "predict.json").read_text())
        print(f"{rows:>12,} {rows / found['seconds']:>10,.0f} {seconds:>8.1f} {peak / 2**20:>9,.0f}")


def command(words: list[str]) -> int:
    """Runs mlet-bench; the most memory that it held, in bytes."""
    process = subprocess.Popen([sys.executable, "-m", "mlet_bench", *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"mlet-bench {words[0]} ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_maxrss * 1024  # Linux counts in KiB


if __name__ == "__main__":
    main()

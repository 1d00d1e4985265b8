"""Rows/s, processor time and peak memory of `predict` on files of different lengths, in Criteo's layout.

    python scripts/bench_predict.py [--rows 200000,1000000] [--work data/bench]

The rows are generated (labels at random: for timing, never for quality), a DLRM is trained on 200,000 of them, and
every file is then predicted in a process of its own. Processor time, start included, hardly hangs on what else runs.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
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
    print(f"{'rows':>12} {'rows/s':>10} {'processor s':>12} {'peak MiB':>9}")
    for rows in map(int, given.rows.split(",")):
        path, out = given.work / f"criteo-{rows}.txt", given.work / f"predicted-{rows}"
        if not path.exists():
            generate(path, rows)
        usage = command(["predict", f"run={run}", f"dataset.raw={path}", f"hydra.run.dir={out}"])
        found, busy = json.loads((out / "predict.json").read_text()), usage.ru_utime + usage.ru_stime
        print(f"{rows:>12,} {rows / found['seconds']:>10,.0f} {busy:>12.1f} {usage.ru_maxrss / 2**10:>9,.0f}")


def command(words: list[str]) -> resource.struct_rusage:
    """Runs mlet-bench; what it took (memory in KiB on Linux)."""
    process = subprocess.Popen([sys.executable, "-m", "mlet_bench", *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"mlet-bench {words[0]} ended with {os.waitstatus_to_exitcode(status)}")
    return usage


if __name__ == "__main__":
    main()

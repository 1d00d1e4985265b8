"""Speed goals, what this machine does, and whether each holds.

    python scripts/bench.py [--steps 50] [--peer PYTHON] [--only dcn,dlrm]

Every figure comes from a separate `mlet-bench bench`, in which MLET and single take their steps in turn.
--peer names the Python of an environment with deepctr-torch, which is then timed on rows of the same kind.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from mlet_bench.data.sources.criteo_like import CARDINALITIES, rows_like_criteo

SIZES = {"dcn": (64, 128), "dlrm": (64, 128), "autoint_plus": (64,)}
NEARLY_FREE = {64: 1.06, 128: 1.12}
USUAL = (*SIZES, "flat", "start")
PARTS = (*USUAL, "modes")
MODES = {"hash": 0.1, "qr": 0.1, "mixed": 0.1, "cafe": 0.1, "adaembed": 0.1, "fiited": 0.1, "lpt": 0.5}
"""Embedding modes whose step may take `MODE` times the single table's, with the ratio that is measured."""
OTHER_MODES = {"tt": 0.1, "robe": 0.1, "dhe": 0.1, "pep": 0.1, "alpt": 0.5}
MODE = 1.25
SHARE = 0.78
EVALUATION = 1.05
"""Of a collapsed model, over the same network around PyTorch's own embedding."""
FLAT = 1.15
PEER = {"dcn": (3.3, 3.0), "autoint_plus": (2.5, None)}
"""Samples/s over the peer's: of the standard embedding, of MLET k = 64."""
PEER_SIZES = {"autoint_plus": ("model.attention_dim=16",)}
"""Where the peer's network is smaller than the model's defaults: two heads share the width of a vector."""
PEER_BATCHES = 22
START_UP = 5.0
FIRST_STEP = """
import os, sys, time
from mlet_bench import cli
from mlet_bench.training import trainer

def timed(*arguments, step=trainer.step, **named):
    step(*arguments, **named)
    print(time.time(), flush=True)
    os._exit(0)

trainer.step = timed
cli.main(sys.argv[1:])
"""


class Goals:
    """The table of goals, and whether all hold."""

    def __init__(self) -> None:
        self.table = Table(box=box.SIMPLE_HEAD, title="Goals", title_justify="left")
        for name in ("what", "goal", "measured", "holds"):
            self.table.add_column(name, justify="left" if name == "what" else "right")
        self.all_hold = True

    def add(self, what: str, value: float, goal: float | None, *, least: bool = False, percent: bool = False) -> None:
        def shown(number: float) -> str:
            return f"{number:.0%}" if percent else f"{number:.2f}"

        if goal is None:
            self.table.add_row(what, "–", shown(value), "")
            return
        holds = value >= goal if least else value <= goal
        self.all_hold = self.all_hold and holds
        self.table.add_row(what, f"{'≥' if least else '≤'} {shown(goal)}", shown(value), "yes" if holds else "no")


def call(*command: str | Path, data: Path | None = None) -> str:
    """What a Python prints; the end of everything if it fails. `data`: instead of data/."""
    environment = {**os.environ, "MLET_BENCH_DATA": str(data)} if data else None
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def bench(steps: int, *words: str) -> dict[str, Any]:
    """bench.json of one command."""
    with tempfile.TemporaryDirectory() as folder:
        call(sys.executable, "-m", "mlet_bench", "bench", *words, f"steps={steps}", f"hydra.run.dir={folder}/run")
        result: dict[str, Any] = json.loads((Path(folder) / "run" / "bench.json").read_text())
    print(
        f"{' '.join(words)}: {result['ms_per_step']:.1f} ms, single {result['single_ms_per_step']:.1f} ms", flush=True
    )
    return result


def models(goals: Goals, names: list[str], steps: int, peer: Path | None) -> None:
    for name in names:
        heavy = name == "autoint_plus"  # attention leaves no share to ask for, and hides what MLET costs
        for inner in SIZES[name]:
            result = bench(steps, f"model={name}", "emb=mlet", f"emb.inner={inner}")
            if inner == 64:
                goals.add(f"{name}, single: share of the best product", result["single_share_of_peak"],
                          None if heavy else SHARE, least=True, percent=True)  # fmt: skip
                goals.add(f"{name}, single: share of torch.mm's best", result["single_share_of_torch_mm"], None,
                          percent=True)  # fmt: skip
                if peer is not None and name in PEER:
                    sizes = PEER_SIZES.get(name, ())
                    alike = bench(steps, f"model={name}", "emb=mlet", *sizes) if sizes else result
                    compare(goals, name, sizes, alike, peer)
                goals.add(f"{name}, collapsed: evaluation over PyTorch's own embedding", result["evaluate_over_plain"],
                          EVALUATION)  # fmt: skip
            goals.add(f"{name}: MLET k={inner} over single, a step", result["mlet_over_single"],
                      None if heavy else NEARLY_FREE[inner])  # fmt: skip
            goals.add(f"{name}, k={inner}: planned memory over what was taken",
                      result["planned_memory_bytes"] / result["memory_grown_bytes"], None)  # fmt: skip
        exact = bench(max(steps // 5, 5), f"model={name}", "emb=mlet", "train.update=exact")
        goals.add(f"{name}: MLET k=64 over single, exact update", exact["mlet_over_single"], None)


def flat(goals: Goals, steps: int) -> None:
    for optimizer in ("sgd", "rowwise_adagrad"):
        words = ("model=dcn", "emb=mlet", f"train.optimizer={optimizer}")
        few, many = bench(steps, *words), bench(steps, *words, "categories=unfiltered")
        what = f"dcn, k=64, {optimizer}: 34 million categories over 1 million, a step"
        goals.add(what, many["ms_per_step"] / few["ms_per_step"], FLAT)


def modes(goals: Goals, steps: int) -> None:
    for mode, ratio in (MODES | OTHER_MODES).items():
        result = bench(steps, "model=dcn", f"emb={mode}", f"emb.ratio={ratio}")
        goal = MODE if mode in MODES else None
        goals.add(f"dcn, {mode} at {ratio} over single, a step", result["mlet_over_single"], goal)
        if result["search_over_single"] is not None:
            goals.add(f"dcn, {mode}'s search over single, a step", result["search_over_single"], None)


def start_up(goals: Goals) -> None:
    """Seconds from the start of the process to the first step of training on a prepared set."""
    goals.add("train on a prepared set: seconds to the first step", seconds_to_first_step(), START_UP)


def seconds_to_first_step(*words: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        call(sys.executable, "-m", "mlet_bench", "prepare", "dataset=synthetic", *words, data=data)
        began = time.time()
        train = ("train", "dataset=synthetic", *words, "emb=mlet", f"hydra.run.dir={folder}/run")
        return float(call(sys.executable, "-c", FIRST_STEP, *train, data=data).splitlines()[-1]) - began


def compare(goals: Goals, name: str, sizes: Sequence[str], result: dict[str, Any], python: Path) -> None:
    """Samples/s of `result` over those of DeepCTR-Torch's model."""
    with tempfile.TemporaryDirectory() as folder:
        rows = rows_like_criteo(CARDINALITIES["filtered"], PEER_BATCHES * result["batch_size"], seed=1)
        np.savez(Path(folder) / "rows.npz", ids=rows.ids_BF, numeric=rows.numeric_BN, label=rows.label_B,
                 cardinalities=CARDINALITIES["filtered"])  # fmt: skip
        script = Path(__file__).with_name("time_deepctr_torch.py")
        printed = call(python, script, name, f"{folder}/rows.npz")
    theirs = float(json.loads(printed.splitlines()[-1])["samples_per_s"])
    print(f"DeepCTR-Torch {name}: {theirs:,.0f} samples/s", flush=True)
    single, mlet = PEER[name]
    ours = 1000 * result["batch_size"] / result["single_ms_per_step"]
    network = " ".join((name, *sizes))
    goals.add(f"{network}, single: samples/s over DeepCTR-Torch's", ours / theirs, single, least=True)
    goals.add(
        f"{network}, MLET k=64: samples/s over DeepCTR-Torch's", result["samples_per_s"] / theirs, mlet, least=True
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--peer", type=Path, default=None, help="Python of an environment with deepctr-torch")
    parser.add_argument("--only", default=",".join(USUAL), help=f"some of {', '.join(PARTS)}")
    given = parser.parse_args()
    chosen = given.only.split(",")
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        print(f"--only {unknown[0]}: allowed: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    goals = Goals()
    models(goals, [name for name in chosen if name in SIZES], given.steps, given.peer)
    if "flat" in chosen:
        flat(goals, given.steps)
    if "modes" in chosen:
        modes(goals, given.steps)
    if "start" in chosen:
        start_up(goals)
    Console(highlight=False, width=max(Console().width, 110)).print(goals.table)
    return 0 if goals.all_hold else 1


if __name__ == "__main__":
    sys.exit(main())

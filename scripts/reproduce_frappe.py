"""The published runs on Frappe_x1 beside ours: parameters, test AUC and logloss, and the time that ours took.

    python scripts/reproduce_frappe.py --raw data/raw/frappe_x1 [--models dcn,dlrm] [--seeds 1,2,3]

Every run is an ordinary `mlet-bench train experiment=frappe_x1/MODEL`: a finished one is not repeated, a stopped one
resumes. Words after -- change the embedding and its learning rate for all of them: `-- emb=mlet`.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

PUBLISHED = {  # reczoo/BARS, ranking/ctr, logs of the Frappe_x1 runs: parameters, test AUC, test logloss
    "lr": (5_390, 0.935584, 0.307643),
    "fm": (59_280, 0.967108, 0.206515),
    "dcn": (418_591, 0.983907, 0.152660),
    "dlrm": (417_891, 0.983995, 0.144441),
    "deepfm": (423_280, 0.984243, 0.148174),
    "widedeep": (423_280, 0.984124, 0.148974),
    "nfm": (384_880, 0.980409, 0.205795),
    "dcnv2": (458_391, 0.984478, 0.149149),
    "xdeepfm": (429_809, 0.984507, 0.146604),
    "autoint_plus": (622_180, 0.984812, 0.149007),
    "autoint": (306_051, 0.983085, 0.163684),
}
SLOW = ("xdeepfm", "autoint_plus", "autoint")
"""Models with one seed by default."""
TOLERANCE = 0.001
"""How far below the published test AUC ours may lie."""


def train(model: str, seed: int, raw: Path, more: list[str]) -> dict[str, Any]:
    """The result of one run, trained if it is not there."""
    words = [f"experiment=frappe_x1/{model}", f"dataset.raw={raw}", f"seed={seed}", *more]
    done = subprocess.run([sys.executable, "-m", "mlet_bench", "train", *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip()}")
    folder = Path(done.stdout.strip().splitlines()[-1].removeprefix("run folder: "))
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def show(console: Console, found: dict[str, list[dict[str, Any]]]) -> bool:
    """The table; whether every model has the published parameters and reaches the published AUC."""
    table = Table(box=box.SIMPLE_HEAD, title="Frappe_x1, test split", title_justify="left")
    for name in ("model", "parameters", "published", "AUC", "published", "difference", "logloss", "published", "seeds",
                 "minutes a seed", "holds"):  # fmt: skip
        table.add_column(name, justify="left" if name == "model" else "right")
    all_hold = True
    for model, results in found.items():
        parameters, auc, logloss = PUBLISHED[model]
        aucs = [result["metrics"]["test"]["auc"] for result in results]
        ours = statistics.mean(aucs)
        size = results[0]["collapse"]["parameters_inference"]
        holds = size == parameters and ours >= auc - TOLERANCE
        all_hold = all_hold and holds
        spread = f" ± {statistics.stdev(aucs):.5f}" if len(aucs) > 1 else ""
        ours_logloss = statistics.mean(result["metrics"]["test"]["logloss"] for result in results)
        minutes = statistics.mean(result["train"]["seconds"] for result in results) / 60
        table.add_row(model, f"{size:,}", f"{parameters:,}", f"{ours:.5f}{spread}", f"{auc:.5f}", f"{ours - auc:+.5f}",
                      f"{ours_logloss:.4f}", f"{logloss:.4f}", str(len(aucs)), f"{minutes:.1f}",
                      "yes" if holds else "no")  # fmt: skip
    console.print(table)
    return all_hold


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True, help="folder with train.csv, valid.csv and test.csv")
    parser.add_argument("--models", default=",".join(PUBLISHED))
    parser.add_argument("--seeds", default=None, help=f"default: 1,2,3, and 1 for {', '.join(SLOW)}")
    parser.add_argument("more", nargs="*", help="words for mlet-bench train, behind --")
    given = parser.parse_args()
    models = given.models.split(",")
    unknown = [model for model in models if model not in PUBLISHED]
    if unknown:
        print(f"--models {unknown[0]}: allowed: {', '.join(PUBLISHED)}", file=sys.stderr)
        return 2
    if not given.raw.is_dir():
        print(f"--raw {given.raw}: no such folder; scripts/download.py frappe_x1 fetches it", file=sys.stderr)
        return 2
    console, found = Console(highlight=False, width=max(Console().width, 140)), dict[str, list[dict[str, Any]]]()
    for model in models:
        seeds = given.seeds or ("1" if model in SLOW else "1,2,3")
        for seed in map(int, seeds.split(",")):
            result = train(model, seed, given.raw, given.more)
            found.setdefault(model, []).append(result)
            test = result["metrics"]["test"]
            console.print(f"{model} seed {seed}: AUC {test['auc']:.5f}, logloss {test['logloss']:.4f}")
    return 0 if show(console, found) else 1


if __name__ == "__main__":
    sys.exit(main())

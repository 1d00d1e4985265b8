"""The claims of the MLET paper (arXiv 2309.15881) tried on the data that is there: sweeps, controls, one report.

    python scripts/reproduce_paper.py [--profile small|medium|full] [--raw data/raw] [--jobs N] [-- hardware=cuda]

small   generated rows alone: under 20 minutes on two cores
medium  Frappe_x1 and MovieLens-1M, all training rows and a tenth of them: about 4 hours on two cores
full    Criteo and Avazu: days, or a GPU; says beforehand what it takes

Every comparison is an ordinary `mlet-bench tune`: the same number of trials for every embedding, chosen on validation,
then five seeds. Then the chosen wide single tables are cut to the narrow width (`mlet-bench evaluate rank=`), and
`mlet-bench report` ends with the table of claims and the page's path. The same command goes on where it was stopped and
repeats nothing. Data sets are looked for below --raw; those that are missing are named and left out. Words behind --
go to every comparison.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

NARROW, WIDE = 4, 16
MODELS = ("dcn", "dlrm", "autoint")
PLACES: dict[str, dict[str, tuple[str, ...]]] = {
    "frappe_x1": {"frappe_x1": ("dataset=frappe_x1",)},
    "movielens1m": {
        "ml-1m": ("dataset=movielens1m",),
        "movielens1m/movielens1m.parquet": (
            *("dataset=table", "dataset.name=movielens1m", "dataset.label=label", "dataset.item_field=movie_id"),
        ),
    },
    "criteo": {"criteo/train.txt": ("dataset=criteo",)},
    "avazu": {"avazu/train.csv": ("dataset=avazu",), "avazu/train.gz": ("dataset=avazu",)},
}
"""Where a data set is looked for below --raw, and how it is read there."""


@dataclass(frozen=True)
class Comparison:
    """One `mlet-bench tune`."""

    name: str
    words: tuple[str, ...]


def arms(inner: str, *, frozen: bool = False) -> tuple[str, ...]:
    """Single tables and MLET of both widths, k in units of d; `frozen` adds MLET whose W2 stays random."""
    control = ("arms.frozen_per_dim=[4]",) if frozen else ()
    return (f"arms.dims=[{NARROW},{WIDE}]", f"arms.inner_per_dim=[{inner}]", *control)


def searched(l2: str, trials: int) -> tuple[str, ...]:
    """What every arm's trials choose among: learning rate of the embedding and its L2."""
    return ("search.lr=null", "search.emb_lr=[0.3,10]", f"search.emb_l2={l2}", f"trials={trials}",
            "seeds=[1,2,3,4,5]")  # fmt: skip


def small(raw: Path) -> list[Comparison]:
    """Generated rows whose categories share structure, and as a control rows whose categories share none."""
    own = ("dataset=synthetic", "dataset.rows=120000", "train.batch_size=1024", "train.epochs=3", "emb.l2=0.0001",
           *searched("[0.00001,0.01]", 3))  # fmt: skip
    found = []
    for model in MODELS:
        less = ("model.attention_layers=1", "model.attention_dim=16") if model == "autoint" else ()
        words = (f"experiment=paper/{model}", *own, *less)
        shared = arms("0.5,1,4", frozen=True) if model == "dcn" else arms("1,4")
        found.append(Comparison(f"{model}, shared structure", (*words, *shared)))
        independent = ("arms.dims=[16]", "arms.inner_per_dim=[4]", "dataset.structure=independent")
        found.append(Comparison(f"{model}, independent structure", (*words, *independent)))
    return found


def medium(raw: Path) -> list[Comparison]:
    """Two sets of a size for two cores, with a tenth of the training rows, in which rare items are many, and whole."""
    inner = {"dcn": arms("0.5,1,4,16", frozen=True), "dlrm": arms("1,4,16"), "autoint": arms("1,4")}
    shares = {"tenth": ("dataset.train_share=0.1", "train.batch_size=512"), "all rows": ()}
    return [
        Comparison(
            f"{model}, {name}, {share}",
            (f"experiment=paper/{model}", *words, *thinned, *inner[model], *searched("[0.001,0.1]", 4)),
        )
        for share, thinned in shares.items()
        for name, words in sets(raw, ("frappe_x1", "movielens1m"))
        for model in MODELS
    ]


def full(raw: Path) -> list[Comparison]:
    """Criteo and Avazu with every category kept, one epoch, the models in their own sizes."""
    return [
        Comparison(
            f"{model}, {name}",
            (f"model={model}", *words, "train.batch_size=4096", *arms("1,4", frozen=model == "dcn"),
             "search.lr=null", "search.emb_lr=[0.3,10]", "trials=4", "seeds=[1,2,3,4,5]"),
        )
        for name, words in sets(raw, ("criteo", "avazu"))
        for model in ("dlrm", "dcn", "autoint")
    ]  # fmt: skip


PROFILES = {"small": small, "medium": medium, "full": full}


def sets(raw: Path, names: Iterable[str]) -> list[tuple[str, tuple[str, ...]]]:
    """The data sets that are there, and the words that read them."""
    found = []
    for name in names:
        for place, words in PLACES[name].items():
            if (raw / place).exists():
                quoted = str(raw / place).replace("\\", "\\\\").replace('"', '\\"')
                found.append((name, (*words, f'dataset.raw="{quoted}"')))
                break
        else:
            print(
                f"left out: {name}, not at {' or '.join(str(raw / place) for place in PLACES[name])} (data/README.md)"
            )
    return found


def say_what_it_takes(comparisons: list[Comparison], raw: Path) -> None:
    """Time, memory and disk of the full profile, from the sizes of the files."""
    rows_per_byte = {"criteo": 45_840_617 / 11.1e9, "avazu": 40_428_967 / 6.3e9}
    for name, per_byte in rows_per_byte.items():
        of_set = [one for one in comparisons if one.name.endswith(name)]
        if not of_set:
            continue
        path = next(raw / place for place in PLACES[name] if (raw / place).exists())
        packed = 6 if path.suffix == ".gz" else 1
        rows = path.stat().st_size * packed * per_byte
        categories = 0.74 * rows  # of Criteo-Kaggle, unfiltered; Avazu has fewer
        runs = sum(8 * (8 if "dcn" in one.name else 6) for one in of_set)
        days = runs * rows / 60_000 / 86_400
        memory, disk = categories * 4 * WIDE * 12 / 2**30, runs * categories * 10 * 4 / 2**30
        print(
            f"{name}: about {rows / 1e6:.1f} million rows, {runs} runs of one epoch: {days:.1f} days at 60,000 rows a "
            f"second (DLRM, two cores); up to {memory:.0f} GiB of memory (k = 64, Adam) and {disk:,.0f} GiB of disk "
            "for the models"
        )


class Runner:
    """Commands of mlet-bench, several at once; a signal ends all of them, each with a checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: set[subprocess.Popen[str]] = set()
        self.stopped = 0
        """The signal that asked to stop."""

    def stop(self, number: int, _: object) -> None:
        self.stopped = number
        for process in list(self.running):
            process.send_signal(number)

    def run(self, name: str, words: Iterable[str]) -> int:
        """The exit code; the lines go to our output, each behind the name, and to a log."""
        if self.stopped:
            return 1
        command = [sys.executable, "-m", "mlet_bench", *words]
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        log = logs / f"{name.replace(', ', '-').replace(' ', '_')}.log"
        with log.open("w", encoding="utf-8") as opened:
            opened.write(" ".join(command) + "\n")
            process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       text=True, start_new_session=True)  # fmt: skip
            self.running.add(process)
            assert process.stdout is not None
            for line in process.stdout:
                opened.write(line)
                if line.startswith(("trial ", "seed ", "mlet-bench: ", "failed: ", "prepared folder")):
                    print(f"[{name}] {line.rstrip()}", flush=True)
            self.running.discard(process)
        return process.wait()


def cut_singles(runner: Runner, folder: Path) -> None:
    """The control by SVD: the chosen single tables of the wide d, cut to the narrow one."""
    wanted = []
    for path in sorted((folder / "outputs" / "tune").rglob("tune.json")):
        tried = json.loads(path.read_text())["arms"]
        wide = [arm for arm in tried if (arm["mode"], arm["dim"]) == ("single", WIDE)]
        if any(arm["dim"] == NARROW for arm in tried):
            wanted += [run["folder"] for arm in wide for run in arm["seeds"] if run["state"] == "done"]
    for run in wanted:
        if runner.stopped:
            return
        done = (folder / "outputs" / "evaluations").glob(f"*-rank{NARROW}/evaluation.json")
        fingerprint = Path(run).name.rpartition("-")[2]
        if not any(fingerprint in path.parent.name for path in done):
            runner.run("cut by SVD", ("evaluate", f"run={run}", f"rank={NARROW}"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="small", choices=PROFILES)
    parser.add_argument("--raw", type=Path, default=Path("data/raw"), help="folder of raw data sets, one folder each")
    parser.add_argument("--out", type=Path, default=None, help="default: outputs/paper-PROFILE")
    parser.add_argument("--jobs", type=int, default=None, help="comparisons at once; default: a core each (full: one)")
    parser.add_argument("more", nargs="*", help="words for every comparison, behind --")
    given = parser.parse_args()
    comparisons = PROFILES[given.profile](given.raw.absolute())
    if not comparisons:
        print(f"--profile {given.profile}: none of its data sets is below --raw {given.raw}", file=sys.stderr)
        return 2
    folder = (given.out or Path("outputs") / f"paper-{given.profile}").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("MLET_BENCH_DATA", str(Path("data").absolute()))
    alone = given.profile == "full"
    threads = () if alone else ("hardware.threads=1",)
    jobs = given.jobs or (1 if alone else os.cpu_count() or 1)
    if alone:
        say_what_it_takes(comparisons, given.raw.absolute())
    runner = Runner(folder)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, runner.stop)
    with ThreadPoolExecutor(jobs) as pool:
        codes = list(
            pool.map(lambda one: runner.run(one.name, ("tune", *one.words, *threads, *given.more)), comparisons)
        )
    if not runner.stopped:
        cut_singles(runner, folder)
    if runner.stopped:
        print("stopped; the same command goes on", file=sys.stderr)
        return 128 + runner.stopped
    failed = [one.name for one, code in zip(comparisons, codes, strict=True) if code]
    report = [sys.executable, "-m", "mlet_bench", "report", f"runs={folder / 'outputs'}",
              f"hydra.run.dir={folder / 'report'}"]  # fmt: skip
    done = subprocess.run(report)
    if failed:
        print(f"not done: {'; '.join(failed)} (logs in {folder / 'logs'})", file=sys.stderr)
    return done.returncode or (1 if failed else 0)


if __name__ == "__main__":
    sys.exit(main())

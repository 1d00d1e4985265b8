"""The MLET paper (arXiv 2309.15881), table for table: its experiments run here, beside the published numbers.

    python scripts/reproduce_paper.py [--profile small|medium|full] [--raw data/raw] [--models dlrm,dcn]
        [--sets frappe_x1] [--jobs N] [-- hardware=cuda]

small   generated rows of Avazu's shape: at most 40 minutes of processor time
medium  MovieLens-1M and Frappe_x1, one epoch: about 4 hours of processor time
full    Criteo and Avazu: days, or a GPU; shows an estimate beforehand

"As published" are sweeps (`mlet-bench train -m`) with one learning rate for everything; "tuned table rate" are
comparisons (`mlet-bench tune`) in which every embedding chooses its table's learning rate among equally many. Then the
trained tables are truncated and quantised (`mlet-bench evaluate`), and `mlet-bench report` ends with the tables and
the page's path. The same command resumes where it was stopped and repeats nothing. Data sets are looked for below
--raw; missing ones are named and left out. Words after -- go to every run.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

MODELS = ("dlrm", "dcn", "xdeepfm", "autoint", "widedeep", "deepfm", "nfm")
CURVES = ("dlrm", "dcn")
"""Models of which every width and k runs, with five seeds where the tables need them."""
RATES = {"sgd": "search.emb_lr=[0.3,60]", "adagrad": "search.emb_lr=[0.05,20]"}
"""Of the tables, in units of the published one."""
TRUNCATED = {32: (4, 8, 16), 64: (4, 8, 16, 32)}
"""Widths of standard embeddings of Table 5, and the ranks that they are truncated to."""
COMPRESSED = ("dcn", (4, 8, 16))
"""Figure 8."""
PLACES: dict[str, dict[str, tuple[str, ...]]] = {
    "frappe_x1": {"frappe_x1": ("dataset=frappe_x1",)},
    "movielens1m": {
        "ml-1m": ("dataset=movielens1m",),
        "movielens1m/movielens1m.parquet": (
            *("dataset=table", "dataset.name=movielens1m", "dataset.label=label", "dataset.item_field=movie_id"),
        ),
    },
    "criteo": {"criteo/train.txt": ("dataset=criteo",)},
    "avazu": {"avazu/train.csv": ("dataset=avazu_paper",), "avazu/train.gz": ("dataset=avazu_paper",)},
}
"""Where a data set is looked for below --raw, and how it is read there."""


@dataclass(frozen=True)
class Job:
    """One command of mlet-bench."""

    name: str
    words: tuple[str, ...]

    @property
    def model(self) -> str:
        return self.name.split(", ")[0]

    @property
    def set(self) -> str:
        return self.name.split(", ")[1]


def published(name: str, words: Sequence[str], model: str, experiment: str, *, curves: bool) -> Iterator[Job]:
    """One learning rate for everything: Table 3, and for `curves` every width and k, the starts of W2 and the rates."""

    def sweep(what: str, *own: str) -> Job:
        return Job(f"{model}, {name}, {what}", ("train", "-m", f"experiment=paper/{experiment}", *words, *own))

    if not curves:
        yield sweep("as published", "emb=single,mlet", "emb.inner=64", "emb.dim=4,16", "seed=1,2,3")
        return
    yield sweep("single", "emb=single", f"emb.dim={'4,8,16,32' if model == 'dlrm' else '4,8,16,32,64'}", "seed=1,2,3")
    yield sweep("mlet", "emb=mlet", f"emb.inner={'32,64,128' if model == 'dlrm' else '32,64'}", "emb.dim=4,8,16,32",
                "seed=1,2,3")  # fmt: skip
    yield sweep("more seeds", "emb=single,mlet", "emb.inner=64", "emb.dim=4,16", "seed=4,5")
    if model == "dlrm":
        yield sweep("start of W2", "emb=mlet", "emb.dim=8", "emb.inner=32", "emb.inner_std=0.056,0.095,0.4804",
                    "seed=1,2,3")  # fmt: skip
        theory = ("emb.dim=8", "train.spectra=true", "seed=1,2,3")
        yield sweep("multiplied rates", "emb=single", "emb.lr=null,0.8,3.2", *theory)
        yield sweep("k and W2's start", "emb=mlet", "emb.inner=16,64", "emb.inner_std=0.25,0.5", *theory)
    else:
        halved = ("emb=hash", "emb.ratio=0.5", "emb.min_rows=3000")  # of Avazu device_id and device_ip
        if "dataset.shape=avazu" in words or "dataset=avazu_paper" in words:
            yield sweep("hashed", *halved, "emb.inner=null,64", "emb.dim=4,8,16", "seed=1,2,3")


def own_rates(name: str, words: Sequence[str], model: str, experiment: str, *, curves: bool) -> Iterator[Job]:
    """Every embedding chooses among equally many learning rates of its tables."""
    rates = RATES["sgd" if model == "dlrm" else "adagrad"]
    trials = "trials=4" if "dataset=synthetic" in words and not curves else "trials=5"
    more = (trials, f"seeds={'[1,2,3,4,5]' if curves else '[1,2,3]'}")

    def tune(what: str, *own: str) -> Job:
        searched = ("search.lr=null", rates, *more)
        return Job(f"{model}, {name}, {what}", ("tune", f"experiment=paper/{experiment}", *words, *searched, *own))

    yield tune("table rates", "arms.dims=[4,16]", "arms.inner=[64]")
    if curves:
        if model == "dcn":
            yield tune("controls", "arms.single=false", "arms.dims=[16]", "arms.inner_per_dim=[0.5,1]", "arms.inner=[]",
                       "arms.frozen_per_dim=[4]")  # fmt: skip
        if "dataset=synthetic" in words:
            yield tune("independent structure", "arms.dims=[16]", "arms.inner=[64]", "dataset.structure=independent")


def jobs_for(name: str, words: Sequence[str], models: Iterable[str] = MODELS, prefix: str = "avazu") -> list[Job]:
    """All of one data set, the longest first."""
    jobs: list[Job] = []
    for model in models:
        curves, experiment = model in CURVES, f"{prefix}_{model}"
        own = (*words, "model.cin_layers=[16,16]") if model == "xdeepfm" and prefix == "avazu" else tuple(words)
        jobs += published(name, own, model, experiment, curves=curves)
        jobs += own_rates(name, own, model, experiment, curves=curves)
    return jobs


def small(raw: Path) -> list[Job]:
    """Generated rows of Avazu's shape."""
    return jobs_for("generated", ("dataset=synthetic", "dataset.shape=avazu", "dataset.rows=84000",
                                  "eval.batch_size=1024"))  # fmt: skip


def medium(raw: Path) -> list[Job]:
    """Two sets of a size for two cores."""
    return [job for name, words in sets(raw, SETS["medium"]) for job in jobs_for(name, words)]


def full(raw: Path) -> list[Job]:
    """Criteo and Avazu with every category kept."""
    jobs = []
    for name, words in sets(raw, SETS["full"]):
        jobs += jobs_for(name, words, ("dlrm",) if name == "criteo" else MODELS, name)
    return jobs


PROFILES = {"small": small, "medium": medium, "full": full}
SETS = {"small": ("generated",), "medium": ("movielens1m", "frappe_x1"), "full": ("criteo", "avazu")}


def sets(raw: Path, names: Iterable[str]) -> list[tuple[str, tuple[str, ...]]]:
    """The data sets that are there, and the words that read them."""
    present = []
    for name in names:
        for place, words in PLACES[name].items():
            if (raw / place).exists():
                quoted = str(raw / place).replace("\\", "\\\\").replace('"', '\\"')
                present.append((name, (*words, f'dataset.raw="{quoted}"')))
                break
        else:
            print(
                f"left out: {name}, not at {' or '.join(str(raw / place) for place in PLACES[name])} (data/README.md)"
            )
    return present


def say_what_it_takes(jobs: list[Job], raw: Path) -> None:
    """Time, memory and disk of the full profile, from the sizes of the files."""
    rows_per_byte = {"criteo": 45_840_617 / 11.1e9, "avazu": 40_428_967 / 6.3e9}
    for name, per_byte in rows_per_byte.items():
        if not any(f", {name}, " in job.name for job in jobs):
            continue
        path = next(raw / place for place in PLACES[name] if (raw / place).exists())
        packed = 6 if path.suffix == ".gz" else 1
        rows = path.stat().st_size * packed * per_byte
        categories = 0.74 * rows  # of Criteo-Kaggle, unfiltered; Avazu has fewer
        runs = 120 if name == "criteo" else 420
        days = runs * rows / 40_000 / 86_400
        memory, disk = categories * 4 * 16 * 12 / 2**30, runs * categories * 10 * 4 / 2**30
        print(
            f"{name}: about {rows / 1e6:.1f} million rows, {runs} runs of one epoch: {days:.1f} days at 40,000 rows a "
            f"second; up to {memory:.0f} GiB of memory (k = 64) and {disk:,.0f} GiB of disk for the models"
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

    def run_all(self, jobs: Iterable[Job]) -> list[str]:
        """Run them one after the other; the names of those that failed."""
        return [job.name for job in jobs if self.run(job)]

    def run(self, job: Job) -> int:
        """The exit code; the lines go to our output, each behind the name, and to a log."""
        if self.stopped:
            return 1
        command = [sys.executable, "-m", "mlet_bench", *job.words]
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        log = logs / f"{job.name.replace(', ', '-').replace(' ', '_')}.log"
        with log.open("w", encoding="utf-8") as opened:
            opened.write(" ".join(command) + "\n")
            process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       text=True, start_new_session=True)  # fmt: skip
            self.running.add(process)
            assert process.stdout is not None
            for line in process.stdout:
                opened.write(line)
                if line.startswith(("trial ", "seed ", "job ", "mlet-bench: ", "failed: ", "prepared folder")):
                    print(f"[{job.name}] {line.rstrip()}", flush=True)
            self.running.discard(process)
        return process.wait()


def evaluations(folder: Path) -> list[Job]:
    """Standard embeddings truncated for Table 5, and tables in 8 bits for Figure 8; what is done is left out."""
    done = {path.parent.name for path in (folder / "outputs" / "evaluations").glob("*/evaluation.json")}
    wanted = []
    for path in sorted((folder / "outputs").glob("*/*/*/*/result.json")):
        result, run = json.loads(path.read_text()), path.parent
        config = (run / "config.yaml").read_text()
        if not (run / "DONE").is_file() or "\n  lr: null\n" not in config or "\nreference: null\n" in config:
            continue  # a tuned table rate
        emb, model = result["emb"], result["model"]
        changes = [
            f"rank={rank}" for rank in TRUNCATED.get(emb["dim"], ()) if model == "dcn" and emb["mode"] == "single"
        ]
        if model == COMPRESSED[0] and emb["dim"] in COMPRESSED[1] and emb["inner"] in (None, 64):
            changes.append("bits=8")
        fingerprint = run.name.rpartition("-")[2]
        for change in changes:
            if not any(name.startswith(fingerprint) and name.endswith(change.replace("=", "")) for name in done):
                wanted.append(Job(f"evaluate {fingerprint} {change}", ("evaluate", f"run={run}", change)))
    return wanted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="small", choices=PROFILES)
    parser.add_argument("--raw", type=Path, default=Path("data/raw"), help="folder of raw data sets, one folder each")
    parser.add_argument("--out", type=Path, default=None, help="default: outputs/paper-PROFILE")
    parser.add_argument("--jobs", type=int, default=None, help="commands at once; default: a core each (full: one)")
    parser.add_argument("more", nargs="*", help="words for every run, behind --")
    parser.add_argument("--models", default=",".join(MODELS), help="which of the seven, by commas")
    parser.add_argument("--sets", default=None, help="which data sets of the profile, by commas")
    given = parser.parse_args()
    for key, allowed in (("models", MODELS), ("sets", SETS[given.profile])):
        for name in filter(None, (getattr(given, key) or "").split(",")):
            if name not in allowed:
                parser.error(f"--{key} {name}: allowed: {', '.join(allowed)}")
    wanted = given.models.split(","), (given.sets or ",".join(SETS[given.profile])).split(",")
    jobs = [job for job in PROFILES[given.profile](given.raw.absolute()) if job.model in wanted[0]
            and job.set in wanted[1]]  # fmt: skip
    if not jobs:
        print(f"--profile {given.profile}: none of its data sets is below --raw {given.raw}", file=sys.stderr)
        return 2
    folder = (given.out or Path("outputs") / f"paper-{given.profile}").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("MLET_BENCH_DATA", str(Path("data").absolute()))
    alone = given.profile == "full"
    words = (*(() if alone else ("hardware.threads=1",)), *given.more)
    if alone:
        say_what_it_takes(jobs, given.raw.absolute())
    runner = Runner(folder)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, runner.stop)
    chains: dict[str, list[Job]] = {}  # a sweep and a comparison of one model share runs: never at the same time
    for job in jobs:
        chains.setdefault(job.model, []).append(Job(job.name, (*job.words, *words)))
    with ThreadPoolExecutor(given.jobs or (1 if alone else os.cpu_count() or 1)) as pool:
        failed = [name for names in pool.map(runner.run_all, chains.values()) for name in names]
        later = [] if runner.stopped else evaluations(folder)
        failed += [name for names in pool.map(runner.run_all, [[job] for job in later]) for name in names]
    if runner.stopped:
        print("stopped; the same command resumes it", file=sys.stderr)
        return 128 + runner.stopped
    report = [sys.executable, "-m", "mlet_bench", "report", f"runs={folder / 'outputs'}",
              f"hydra.run.dir={folder / 'report'}"]  # fmt: skip
    done = subprocess.run(report)
    if failed:
        print(f"not done: {'; '.join(failed)} (logs in {folder / 'logs'})", file=sys.stderr)
    return done.returncode or (1 if failed else 0)


if __name__ == "__main__":
    sys.exit(main())

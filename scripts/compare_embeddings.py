"""Ways to make embeddings smaller, at equal bytes and with equal tuning: `mlet-bench tune`, and its report.

    python scripts/compare_embeddings.py [--profile small|medium] [--raw data/raw] [--sets movielens1m] [--jobs N]
        [-- hardware=cuda]

small   generated rows with shared and with independent structure, three seeds: about half an hour of processor time
medium  MovieLens-1M and Frappe_x1, three seeds: about an hour and a half of processor time each

Every embedding chooses its table's learning rate among equally many; DCN, one epoch of Adam. The same command resumes
where it was stopped and repeats nothing. With more --jobs than comparisons, the embeddings of one are shared among
them. Words after -- go to every run.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

MODES = ("hash", "qr", "mixed", "tt", "robe", "dhe", "cafe", "adaembed", "fiited", "pep")
WITH_MLET = ("hash", "cafe", "fiited")
CAPPED = ("hash", "cafe")
"""Also with hashed rows in the largest fields alone."""
RATIOS = (0.5, 0.1, 0.02)
LOW_PRECISION = ("emb=lpt", "emb=alpt", "emb=lpt emb.inner=64")
BITS = {8: 0.5, 4: 0.25}
"""And a ratio that they fit: an eighth to a third of the table."""
UNREACHABLE = {("mixed", 0.02), ("qr", 0.02)}
"""With d = 16 and these fields: a width of one is 0.06; two tables of 2√n rows and the fields that stay whole."""
NETWORK = (
    *("model=dcn", "model.mlp=[64,64]", "model.cross_layers=2", "model.batch_norm=false"),
    *("train.eval_every=null", "eval.batch_size=1024", "hardware.threads=1", "search.lr=null"),
)
GENERATED = ("dataset=synthetic", "dataset.shape=avazu", "dataset.rows=84000", "train.batch_size=256")
FRAPPE = ("dataset=frappe_x1", "train.batch_size=256")
MOVIELENS = ("dataset=table", "dataset.name=movielens1m", "dataset.label=label", "dataset.item_field=movie_id",
             "train.batch_size=1024")  # fmt: skip
"""Batches for which an epoch has 790 steps on either set."""
SETS = {"frappe_x1": ("frappe_x1", FRAPPE), "movielens1m": ("movielens1m/movielens1m.parquet", MOVIELENS)}
"""Of `medium`: where it is looked for below --raw, and how it is read."""
SMALL = ("trials=3", "search.emb_lr=[0.3,30]", "seeds=[1,2,3]")
MEDIUM = ("trials=4", "search.emb_lr=[2,50]", "seeds=[1,2,3]")
"""The first trial has train.lr. On the real sets tables are best at or above it, so the others search upwards."""


def arms() -> list[str]:
    """Overrides of emb: standard embeddings, MLET, and every mode at every ratio, some with MLET over their rows."""
    found = [f"emb=single emb.dim={dim}" for dim in (16, 8, 2)] + [f"emb=mlet emb.dim={dim}" for dim in (16, 8, 2)]
    for ratio in RATIOS:
        modes = [mode for mode in MODES if (mode, ratio) not in UNREACHABLE]
        found += [f"emb={mode} emb.ratio={ratio}" for mode in modes]
        found += [f"emb={mode} emb.ratio={ratio} emb.shrink=cap" for mode in CAPPED]
        found += [f"emb={mode} emb.ratio={ratio} emb.inner=64" for mode in WITH_MLET]
    return found + [
        f"{mode} emb.bits={bits} emb.ratio={ratio}" for bits, ratio in BITS.items() for mode in LOW_PRECISION
    ]


def comparisons(profile: str, raw: Path, names: Sequence[str]) -> list[tuple[str, ...]]:
    """The words of each, but for the embeddings."""
    if profile == "small":
        return [
            (*NETWORK, *SMALL, *GENERATED, f"dataset.structure={structure}") for structure in ("shared", "independent")
        ]
    found = []
    for name in names:
        place, words = SETS[name]
        if (raw / place).exists():
            found.append((*NETWORK, *MEDIUM, *words, f'dataset.raw="{raw / place}"'))
        else:
            print(f"left out: {raw / place} is not there (data/README.md)")
    return found


def chosen(embeddings: Sequence[str]) -> str:
    """The word that compares these."""
    return "arms=[" + ",".join(f'"{arm}"' for arm in embeddings) + "]"


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="small", choices=["small", "medium"])
    parser.add_argument("--raw", type=Path, default=Path("data/raw"), help="folder of raw data sets")
    parser.add_argument("--sets", default=",".join(SETS), help="which data sets of medium, by commas")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="commands at once")
    parser.add_argument("more", nargs="*", help="words for every run, behind --")
    options = parser.parse_args(given)
    names = options.sets.split(",")
    for name in names:
        if name not in SETS:
            parser.error(f"--sets {name}: allowed: {', '.join(SETS)}")
    folder = (Path("outputs") / f"embeddings-{options.profile}").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("MLET_BENCH_DATA", str(Path("data").absolute()))
    running: list[subprocess.Popen[bytes]] = []
    stopped: list[int] = []

    def stop(number: int, _: object) -> None:
        stopped.append(number)
        for process in running:
            process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)

    def run(words: tuple[str, ...]) -> int:
        if stopped:
            return 1
        command = [sys.executable, "-m", "mlet_bench", "tune", *words]
        process = subprocess.Popen(command, cwd=folder, start_new_session=True)
        running.append(process)
        return process.wait()

    wanted = [(*words, *options.more) for words in comparisons(options.profile, options.raw.absolute(), names)]
    shares = options.jobs // max(len(wanted), 1)
    with ThreadPoolExecutor(options.jobs) as pool:
        if shares > 1:  # their runs lie where those of the whole comparison do, which then finds them
            parts = [chosen(arms()[number::shares]) for number in range(shares)]
            place = 'hydra.run.dir="parts/{fingerprint}"'
            list(pool.map(run, [(*words, part, place) for part in parts for words in wanted]))
        codes = list(pool.map(run, [(*words, chosen(arms())) for words in wanted]))
    if stopped:
        print("stopped; the same command resumes it", file=sys.stderr)
        return 128 + stopped[0]
    report = [sys.executable, "-m", "mlet_bench", "report", "runs=outputs/tune", f"hydra.run.dir={folder / 'report'}"]
    return subprocess.run(report, cwd=folder).returncode or max(codes, default=2)


if __name__ == "__main__":
    sys.exit(main())

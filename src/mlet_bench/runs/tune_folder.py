"""A comparison's folder: tune.json, written whole after every run, and what it says of the runs on the seeds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlet_bench.errors import UserError
from mlet_bench.evaluation.statistics import Spread, paired_by_seed
from mlet_bench.system import files

TUNE, LOCK = "tune.json", ".lock"
SCORES = ("auc", "logloss")


@dataclass(frozen=True)
class TuneFolder:
    path: Path

    @property
    def begun(self) -> bool:
        return (self.path / TUNE).exists()

    def check_usable(self) -> None:
        """UserError if the path holds anything that no comparison wrote, or is no folder."""
        files.check_foreign(self.path, (TUNE, LOCK))

    @contextmanager
    def opened(self, fingerprint: str) -> Iterator[None]:
        """Hold the folder, made if missing; UserError if it holds another comparison, or if one is at work in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with files.locked(self.path / LOCK, f"{self.path}: another process works on this comparison"):
            for half in self.path.glob(f".{TUNE}.*.tmp"):  # of killed processes
                half.unlink()
            if self.begun and self._fingerprint() != fingerprint:
                raise UserError(f"hydra.run.dir={self.path}: holds another comparison; choose another folder")
            yield

    def made(self) -> set[str]:
        """The folders of the runs that this comparison made when it was at work before."""
        arms = files.read_json(self.path / TUNE)["arms"] if self.begun else []
        runs = [run for arm in arms for run in (*arm["trials"], *arm["seeds"])]
        return {str(run["folder"]) for run in runs if not run.get("before", False)}

    def save(self, comparison: dict[str, Any]) -> None:
        files.write_json(self.path / TUNE, comparison)

    def _fingerprint(self) -> Any:
        try:
            comparison = files.read_json(self.path / TUNE)
        except UserError as error:
            raise UserError(f"{error}; remove it: the same command writes it again from the runs") from None
        return comparison.get("fingerprint") if isinstance(comparison, dict) else None


def succeeded(comparison: dict[str, Any]) -> bool:
    """Whether every configuration has chosen settings and no run on the seeds failed; a trial may fail."""
    return all(arm["chosen"] and len(_done(arm)) == len(arm["seeds"]) for arm in comparison["arms"])


def summary(arm: dict[str, Any]) -> dict[str, Any]:
    """A configuration over its seeds. Minutes are those of training steps, each different run counted once."""
    done = _done(arm)
    seconds = {run["folder"]: run["seconds"] for run in (*arm["trials"], *done) if run["state"] == "done"}
    return {
        "valid": asdict(Spread.of([run["value"] for run in done])),
        "test": {score: asdict(Spread.of(list(_test(arm, score).values()))) for score in SCORES},
        "parameters": done[0]["parameters"] if done else None,
        "failed_trials": sum(trial["state"] == "failed" for trial in arm["trials"]),
        "train_minutes": sum(seconds.values()) / 60,
    }


def against(arm: dict[str, Any], singles: list[dict[str, Any]]) -> dict[str, Any]:
    """Its differences, paired by seed, from the standard embeddings of the same d and of the largest."""
    by_dim = {single["dim"]: single for single in reversed(singles)}  # of several of a width the first
    bases = {"single_same_dim": by_dim.get(arm["dim"]), "single_largest_dim": by_dim.get(max(by_dim, default=None))}
    return {name: None if base is arm else _differences(arm, base) for name, base in bases.items()}


def _differences(arm: dict[str, Any], base: dict[str, Any] | None) -> dict[str, Any] | None:
    if base is None:
        return None
    found: dict[str, Any] = {"dim": base["dim"]}
    for score in SCORES:
        gain = paired_by_seed(_test(arm, score), _test(base, score))
        if gain is None:  # no seed ended well on both sides
            found[score] = dict.fromkeys(("mean", "sd", "t", "ci95", "verdict")) | {"n": 0}
        else:
            found[score] = asdict(gain) | {"verdict": gain.verdict}
    return found


def _done(arm: dict[str, Any]) -> list[dict[str, Any]]:
    return [run for run in arm["seeds"] if run["state"] == "done"]


def _test(arm: dict[str, Any], score: str) -> dict[int, float]:
    """By seed; a run whose test split has one class has no AUC."""
    return {run["seed"]: run["test"][score] for run in _done(arm) if run["test"][score] is not None}

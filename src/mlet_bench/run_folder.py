"""A run is a folder: whose it is, how far it got, and that one process alone works in it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlet_bench import files
from mlet_bench.errors import UserError

CONFIG, RESULT, PREDICTIONS, MODEL = "config.yaml", "result.json", "predictions.parquet", "model.safetensors"
METRICS, SPECTRA, LOG = "metrics.jsonl", "spectra.jsonl", "train.log"
CHECKPOINT, DONE, LOCK = "checkpoint", "DONE", ".lock"
TENSORBOARD, MLFLOW = "tensorboard", "mlflow.json"
OURS = {CONFIG, RESULT, PREDICTIONS, MODEL, METRICS, SPECTRA, LOG, CHECKPOINT, DONE, LOCK, TENSORBOARD, MLFLOW}


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @property
    def finished(self) -> bool:
        return (self.path / DONE).is_file()

    def check_usable(self) -> None:
        """UserError if the path holds anything that no run of ours wrote, or is no folder."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"hydra.run.dir={self.path}: is a file, not a folder")
        if self.path.is_dir():
            foreign = sorted(entry.name for entry in self.path.iterdir() if not _ours(entry.name))
            if foreign:
                raise UserError(f"hydra.run.dir={self.path}: holds files of others ({foreign[0]}); choose another")

    @contextmanager
    def opened(self, fingerprint: str, config: dict[str, Any], *, rerun: bool) -> Iterator[None]:
        """Hold the folder for the run with this fingerprint, made if missing, emptied of our files on `rerun`.

        UserError if it holds another run or foreign files, or if another process works in it.
        """
        self.check_usable()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"hydra.run.dir={self.path}: cannot be made ({error.strerror})") from None
        with files.locked(self.path / LOCK, f"{self.path}: another process works in this run folder"):
            held = self._fingerprint()
            if held not in (None, fingerprint):
                raise UserError(
                    f"hydra.run.dir={self.path}: holds another run (fingerprint {held}, this one is {fingerprint}); "
                    "choose another folder"
                )
            if rerun:
                self._empty()
            self._sweep_up()
            if not (self.path / CONFIG).is_file():
                text = yaml.safe_dump({"fingerprint": fingerprint, **config}, sort_keys=False, allow_unicode=True)
                files.write_text(self.path / CONFIG, text)
            yield

    def finish(self) -> None:
        """Write the last file; then the checkpoint is of no more use."""
        files.write_text(self.path / DONE, "")
        shutil.rmtree(self.path / CHECKPOINT, ignore_errors=True)

    def result(self) -> dict[str, Any]:
        """result.json of a run that has one; UserError if it is missing or damaged."""
        result = files.read_json(self.path / RESULT)
        if not isinstance(result, dict) or result.get("version") != 1:
            raise UserError(f"{self.path / RESULT}: not a result of version 1")
        return result

    def _fingerprint(self) -> str | None:
        path = self.path / CONFIG
        if not path.is_file():
            return None
        try:
            held = yaml.safe_load(path.read_text(encoding="utf-8"))
            return str(held["fingerprint"])
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            raise UserError(f"{path}: damaged, this folder's run cannot be told; choose another folder") from None

    def _sweep_up(self) -> None:
        """Remove what a killed process left half-written; we hold the folder."""
        for path in self.path.glob(".*.tmp"):
            path.unlink()
        if self.finished:
            shutil.rmtree(self.path / CHECKPOINT, ignore_errors=True)

    def _empty(self) -> None:
        (self.path / DONE).unlink(missing_ok=True)  # first, so that a half-emptied folder is not taken for finished
        shutil.rmtree(self.path / CHECKPOINT, ignore_errors=True)
        remove_events(self.path)
        for name in OURS - {CHECKPOINT, LOCK, TENSORBOARD}:
            (self.path / name).unlink(missing_ok=True)


def remove_events(folder: Path) -> None:
    """Remove TensorBoard's event files of a run, and their folder unless it holds anything else."""
    for path in (folder / TENSORBOARD).glob("events.out.tfevents.*"):
        path.unlink()
    with suppress(OSError):
        (folder / TENSORBOARD).rmdir()


def _ours(name: str) -> bool:
    temporary = name.startswith(".") and name.endswith(".tmp") and name.split(".")[1] in {
        known.split(".")[0] for known in OURS
    }  # fmt: skip
    return name in OURS or temporary

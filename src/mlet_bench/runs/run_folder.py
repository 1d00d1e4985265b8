"""A run is a folder: whose it is, how far it got, that one process alone works in it, and that it is as it was left."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mlet_bench.config.validation import describe_error
from mlet_bench.errors import UserError
from mlet_bench.runs.loggers import LOGGERS
from mlet_bench.runs.model_names import INDEX, MODEL, model_files
from mlet_bench.runs.result import Result
from mlet_bench.system import files

CONFIG, RESULT, PREDICTIONS = "config.yaml", "result.json", "predictions.parquet"
METRICS, SPECTRA, LOG = "metrics.jsonl", "spectra.jsonl", "train.log"
CHECKPOINT, SEARCH, DONE, LOCK = "checkpoint", "search", "DONE", ".lock"
SEALED = (CONFIG, RESULT, PREDICTIONS, MODEL, METRICS, SPECTRA)
"""What DONE knows the content of, as far as it is there; the files of a model in shards too."""
OURS = {*SEALED, LOG, CHECKPOINT, DONE, LOCK, *(logger.PATH for logger in LOGGERS.values())}
FOLDERS = {CHECKPOINT, *(logger.PATH for logger in LOGGERS.values() if logger.IS_FOLDER)}


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @property
    def finished(self) -> bool:
        return (self.path / DONE).is_file()

    @property
    def model_files(self) -> list[str]:
        """The files that are there of the model."""
        return model_files(path.name for path in self.path.iterdir()) if self.path.is_dir() else []

    @property
    def model(self) -> Path:
        """The file of the model, or the index of its files."""
        index = self.path / INDEX
        return index if index.is_file() else self.path / MODEL

    @property
    def search(self) -> Path:
        """Where a training that comes first keeps what it needs to go on, until the run is finished."""
        return self.path / CHECKPOINT / SEARCH

    @property
    def checkpoint_bytes(self) -> int:
        """What its checkpoints take on the disk now."""
        return files.bytes_below(self.path / CHECKPOINT)

    def finished_as(self, fingerprint: str) -> bool:
        """Whether it holds the finished run with this fingerprint."""
        with suppress(UserError):
            return self.finished and self._fingerprint() == fingerprint
        return False

    def check_usable(self) -> None:
        """UserError if the path holds anything that no run of ours wrote, or is no folder."""
        files.check_foreign(self.path, OURS.union(self.model_files))
        for name in OURS:
            path = self.path / name
            if path.exists() and path.is_dir() != (name in FOLDERS):
                kind, wanted = ("a folder", "a file") if path.is_dir() else ("a file", "a folder")
                raise UserError(f"{path}: is {kind} and should be {wanted}; remove it")

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
        """Write the last file, which says what the others are; then the checkpoint is of no more use."""
        sealed = dict.fromkeys((*SEALED, *self.model_files))
        paths = {name: self.path / name for name in sealed if (self.path / name).is_file()}
        known = {name: {"bytes": path.stat().st_size, "md5": files.md5(path)} for name, path in paths.items()}
        files.write_json(self.path / DONE, {"files": known})
        shutil.rmtree(self.path / CHECKPOINT, ignore_errors=True)

    def check(self, *names: str) -> None:
        """UserError if one of these files of a finished run is missing or not as the run left it."""
        for name, (size, md5) in self._known().items():
            path = self.path / name
            if name not in names:
                continue
            if not path.is_file():
                raise UserError(f"{path}: missing; rerun=true makes the run again")
            try:
                same = path.stat().st_size == size and files.md5(path) == md5
            except OSError as error:
                raise UserError(f"{path}: cannot be read ({error.strerror})") from None
            if not same:
                raise UserError(f"{path}: damaged, it is not what the run wrote; rerun=true makes the run again")

    def save(self, result: Result) -> None:
        files.write_json(self.path / RESULT, result.as_json())

    def result(self) -> Result:
        """result.json of a run that has one; UserError if it is missing or damaged, or if another file is cut."""
        path = self.path / RESULT
        self.check(RESULT)
        for name, (size, _) in self._known().items():
            other = self.path / name
            if other.exists() and other.stat().st_size != size:  # removed to save room is nothing wrong
                raise UserError(f"{other}: damaged, it is not what the run wrote; rerun=true makes the run again")
        result = files.read_json(path)
        if not isinstance(result, dict):
            raise UserError(f"{path}: not a result")
        try:
            return Result.model_validate(result)
        except ValidationError as error:
            raise UserError(f"{path}: {describe_error(error, Result, '')}") from None

    def config(self) -> dict[str, Any]:
        """config.yaml, its fingerprint among it; UserError if it is missing or damaged."""
        path = self.path / CONFIG
        self.check(CONFIG)
        config = files.read_yaml(path)
        if not isinstance(config, dict):
            raise UserError(f"{path}: damaged, it holds no keys")
        return config

    @property
    def known_model_files(self) -> list[str]:
        """The files of the model that the finished run wrote."""
        return model_files(self._known())

    def _fingerprint(self) -> str | None:
        if not (self.path / CONFIG).is_file():
            return None
        try:
            return str(self.config()["fingerprint"])
        except (UserError, KeyError):
            path = self.path / CONFIG
            raise UserError(
                f"{path}: damaged, this folder's run cannot be told; remove the folder or choose another"
            ) from None

    def _known(self) -> dict[str, tuple[int, str]]:
        """Bytes and md5 of the files of a finished run; empty for one that is not finished, and for runs of earlier
        versions, whose DONE is empty."""
        path = self.path / DONE
        try:
            if not path.is_file() or not path.stat().st_size:
                return {}
            known = files.read_json(path)["files"]
            sealed = dict.fromkeys((*(name for name in SEALED if name in known), *model_files(known)))
            return {name: (int(known[name]["bytes"]), str(known[name]["md5"])) for name in sealed}
        except (UserError, AttributeError, KeyError, TypeError, ValueError):
            raise UserError(f"{path}: damaged; rerun=true makes the run again") from None

    def _sweep_up(self) -> None:
        """Remove what a killed process left half-written; we hold the folder."""
        for path in self.path.glob(".*.tmp"):
            files.remove(path)
        if self.finished:
            shutil.rmtree(self.path / CHECKPOINT, ignore_errors=True)

    def _empty(self) -> None:
        (self.path / DONE).unlink(missing_ok=True)  # first, so that a half-emptied folder is not taken for finished
        shutil.rmtree(self.path / CHECKPOINT, ignore_errors=True)
        for logger in LOGGERS.values():
            logger.remove(self.path)
        for name in {*SEALED, *self.model_files, LOG}:
            (self.path / name).unlink(missing_ok=True)

"""A run is a folder: whose it is, how far it got, that one process alone works in it, and that it is as it was left."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlet_bench import files
from mlet_bench.errors import UserError

CONFIG, RESULT, PREDICTIONS, MODEL = "config.yaml", "result.json", "predictions.parquet", "model.safetensors"
METRICS, LOG, CHECKPOINT, DONE, LOCK = "metrics.jsonl", "train.log", "checkpoint", "DONE", ".lock"
SEALED = (CONFIG, RESULT, PREDICTIONS, MODEL, METRICS)
"""What DONE knows the content of."""
OURS = {CONFIG, RESULT, PREDICTIONS, MODEL, METRICS, LOG, CHECKPOINT, DONE, LOCK}


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @property
    def finished(self) -> bool:
        return (self.path / DONE).is_file()

    def check_usable(self) -> None:
        """UserError if the path holds anything that no run of ours wrote, or is no folder."""
        self._check_foreign()
        for name in OURS:
            path = self.path / name
            if path.exists() and path.is_dir() != (name == CHECKPOINT):
                kind, wanted = ("a folder", "a file") if path.is_dir() else ("a file", "a folder")
                raise UserError(f"{path}: is {kind} and should be {wanted}; remove it")

    def _check_foreign(self) -> None:
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
        """Write the last file, which says what the others are; then the checkpoint is of no more use."""
        paths = {name: self.path / name for name in SEALED}
        known = {name: {"bytes": path.stat().st_size, "md5": files.md5(path)} for name, path in paths.items()}
        files.write_json(self.path / DONE, {"files": known})
        shutil.rmtree(self.path / CHECKPOINT, ignore_errors=True)

    def check(self, *names: str) -> None:
        """UserError if one of these files of a finished run is missing or not as the run left it."""
        for name, (size, md5) in self._known().items():
            path = self.path / name
            if name in names and not path.is_file():
                raise UserError(f"{path}: missing; rerun=true makes the run anew")
            if name in names and (path.stat().st_size != size or files.md5(path) != md5):
                raise UserError(f"{path}: damaged, it is not what the run wrote; rerun=true makes the run anew")

    def result(self) -> dict[str, Any]:
        """result.json of a run that has one; UserError if it is missing or damaged, or if another file is cut."""
        if self.finished:
            self.check(RESULT)
            for name, (size, _) in self._known().items():
                path = self.path / name
                if path.exists() and path.stat().st_size != size:  # removed to save room is nothing wrong
                    raise UserError(f"{path}: damaged, it is not what the run wrote; rerun=true makes the run anew")
        result = files.read_json(self.path / RESULT)
        if not isinstance(result, dict) or result.get("version") != 1:
            raise UserError(f"{self.path / RESULT}: not a result of version 1")
        return result

    def _known(self) -> dict[str, tuple[int, str]]:
        """Bytes and md5 of the files of a finished run; empty for runs of earlier versions, whose DONE is empty."""
        path = self.path / DONE
        if not path.stat().st_size:
            return {}
        try:
            return {name: (int(one["bytes"]), str(one["md5"])) for name, one in files.read_json(path)["files"].items()}
        except (UserError, AttributeError, KeyError, TypeError, ValueError):
            raise UserError(f"{path}: damaged; rerun=true makes the run anew") from None

    def _fingerprint(self) -> str | None:
        path = self.path / CONFIG
        if not path.is_file():
            return None
        try:
            held = yaml.safe_load(path.read_text(encoding="utf-8"))
            return str(held["fingerprint"])
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            raise UserError(
                f"{path}: damaged, this folder's run cannot be told; remove the folder or choose another"
            ) from None

    def _sweep_up(self) -> None:
        """Remove what a killed process left half-written; we hold the folder."""
        for path in self.path.glob(".*.tmp"):
            files.remove(path)
        if self.finished:
            shutil.rmtree(self.path / CHECKPOINT, ignore_errors=True)

    def _empty(self) -> None:
        (self.path / DONE).unlink(missing_ok=True)  # first, so that a half-emptied folder is not taken for finished
        shutil.rmtree(self.path / CHECKPOINT, ignore_errors=True)
        for name in OURS - {CHECKPOINT, LOCK}:
            (self.path / name).unlink(missing_ok=True)


def _ours(name: str) -> bool:
    temporary = name.startswith(".") and name.endswith(".tmp") and name.split(".")[1] in {
        known.split(".")[0] for known in OURS
    }  # fmt: skip
    return name in OURS or temporary

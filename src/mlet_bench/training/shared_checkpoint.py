"""Checkpoints of several processes, where tables lie in shards: each process writes and reads its own part.

A state is a folder of safetensors that torch.distributed.checkpoint writes, whose tensors say which rows of which table
they are, so that any other number of processes can read it. The first process marks it as whole, last, by a
description with the md5 of every file.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from mlet_bench.embedding import Embedding
from mlet_bench.errors import UserError
from mlet_bench.system import files
from mlet_bench.system.processes import Processes
from mlet_bench.system.several import Several
from mlet_bench.training.checkpoint import Checkpoints, Position, sound_states, write_description
from mlet_bench.training.optimizers import Optimizers

Say = Callable[[str], None]


def checkpoints_of(
    model: torch.nn.Module, folder: Path, say: Say, processes: Processes
) -> "Checkpoints | SharedCheckpoints":
    """The kind that suits a model and its processes."""
    if _sharded(model):
        assert isinstance(processes, Several)
        return SharedCheckpoints(folder, say, processes)
    return Checkpoints(folder, say) if processes.size == 1 else FollowedCheckpoints(folder, say, processes)


class FollowedCheckpoints(Checkpoints):
    """Those of a model that every process has whole: the first one writes, and the others read what it wrote."""

    def __init__(self, folder: Path, say: Say, processes: Processes) -> None:
        self._processes = processes
        super().__init__(folder, say)

    def save_best(self, step: int, model: torch.nn.Module) -> None:
        if self._processes.first:
            super().save_best(step, model)

    def save(self, model: torch.nn.Module, optimizers: Optimizers, position: Position) -> None:
        if self._processes.first:
            super().save(model, optimizers, position)
        self._processes.wait()

    def _remove_all_but(self, *names: str) -> None:
        if self._processes.first:
            super()._remove_all_but(*names)


class SharedCheckpoints:
    """The last two states of a training in shards, each with the best weights that it knows of."""

    def __init__(self, folder: Path, say: Say, processes: Several) -> None:
        self.folder, self.say, self._processes = folder, say, processes
        self._kept: list[set[str]] = []
        """The descriptions and folders of each state, the newest last."""
        self._best_md5: dict[str, str] = {}
        """Of the best weights' files, by their names below `folder`."""
        if processes.first:
            folder.mkdir(exist_ok=True)

    def save_best(self, step: int, model: torch.nn.Module) -> None:
        """Keep the weights after a step as the best so far."""
        self._best_md5 = self._write(_best(step), _weights(model))
        self._remove_all_but(_best(step))

    def load_best(self, model: torch.nn.Module, step: int) -> None:
        """Put the weights back that were kept after a step."""
        self._read(_best(step), _weights(model))

    def save(self, model: torch.nn.Module, optimizers: Optimizers, position: Position) -> None:
        """Add a state, and remove all but the last two."""
        kept = {f"optimiser.{name}": value for name, value in optimizers.state().items()}
        md5 = self._write(_state(position.step), {**_weights(model), **_slots(model), **kept})
        folders = {_state(position.step)}
        if position.best_step is not None:
            folders.add(_best(position.best_step))
            md5 |= self._best_md5
        if self._processes.first:
            folders.add(write_description(self.folder, position, md5))
        older = [names for names in self._kept if _state(position.step) not in names]
        self._kept = [*older[-1:], folders]
        self._remove_all_but()

    def load(self, model: torch.nn.Module, optimizers: Optimizers) -> Position | None:
        """Put model and optimizers back as in the last sound state; what is of no more use is removed.

        Returns the position, or None if there is no sound state.
        """
        found = self._last_sound()
        self._remove_all_but()
        if found is None:
            return None
        metadata = HuggingFaceStorageReader(str(self.folder / _state(found.step))).read_metadata()
        kept: dict[str, torch.Tensor] = {
            name: torch.zeros(known.size, dtype=known.properties.dtype)  # type: ignore[union-attr]
            for name, known in metadata.state_dict_metadata.items()
            if name.startswith("optimiser.")
        }
        self._read(_state(found.step), {**_weights(model), **_slots(model), **kept})
        optimizers.load_state({name.removeprefix("optimiser."): value for name, value in kept.items()})
        return found

    def _write(self, name: str, tensors: dict[str, Any]) -> dict[str, str]:
        """Write a folder of this process's and the others' parts; the md5 of all files."""
        path = self.folder / name
        if self._processes.first and path.exists():  # of a process that was killed, perhaps with more parts
            files.remove(path)
        self._processes.wait()
        writer = HuggingFaceStorageWriter(str(path), save_distributed=True)
        save(tensors, storage_writer=writer, process_group=self._processes.host)
        return self._each_file(sorted(path.iterdir()), lambda file: {f"{name}/{file.name}": files.md5(file)})

    def _read(self, name: str, tensors: dict[str, Any]) -> None:
        reader = HuggingFaceStorageReader(str(self.folder / name))
        load(tensors, storage_reader=reader, process_group=self._processes.host)

    def _each_file(self, paths: list[Path], look: Callable[[Path], dict[str, str]]) -> dict[str, str]:
        """What `look` says of every file, each looked at by one of the processes."""
        own: dict[str, str] = {}
        for path in paths[self._processes.rank :: self._processes.size]:
            own |= look(path)
        return {name: said for part in self._processes.each(own) for name, said in part.items()}

    def _last_sound(self) -> Position | None:
        """The position of the newest undamaged state; problems of later ones are reported."""
        names = self._processes.told([path.name for path in sorted(self.folder.glob("state-*.json"), reverse=True)])
        states = sound_states([self.folder / name for name in names], self._check, self.say)
        self._kept = [{path.name, *(file.partition("/")[0] for file in md5)} for path, _, md5 in reversed(states)]
        if not states:
            return None
        _, found, md5 = states[0]
        self._best_md5 = {file: known for file, known in md5.items() if file.startswith("best-")}
        return found

    def _check(self, md5: dict[str, str]) -> None:
        def look(path: Path) -> dict[str, str]:
            known = md5[f"{path.parent.name}/{path.name}"]
            return {} if path.is_file() and files.md5(path) == known else {str(path): "damaged"}

        damaged = sorted(self._each_file([self.folder / name for name in sorted(md5)], look))
        if damaged:
            raise UserError(f"{damaged[0]}: missing or damaged")

    def _remove_all_but(self, *names: str) -> None:
        """Remove what no state needs, half-written folders of killed processes too; `names` stay."""
        if self._processes.first:
            needed = {*names}.union(*self._kept)
            for path in self.folder.iterdir():
                if path.name not in needed:
                    files.remove(path)
        self._processes.wait()


def _sharded(model: torch.nn.Module) -> list[tuple[str, Embedding]]:
    parts = [(name, part) for name, part in model.named_modules() if isinstance(part, Embedding)]
    return [(name, part) for name, part in parts if part.sharded is not None]


def _weights(model: torch.nn.Module) -> dict[str, Any]:
    """What every process has, and tables in shards."""
    tensors: dict[str, Any] = {f"model.{name}": value for name, value in model.state_dict().items()}
    return tensors | {name: value for name, value in _shards(model).items() if name.endswith(".weight")}


def _slots(model: torch.nn.Module) -> dict[str, Any]:
    """What is kept for the rows of tables in shards."""
    return {name: value for name, value in _shards(model).items() if not name.endswith(".weight")}


def _shards(model: torch.nn.Module) -> dict[str, Any]:
    parts = [(name, part.sharded) for name, part in _sharded(model) if part.sharded is not None]
    return {f"shards.{name}.{key}": value for name, sharded in parts for key, value in sharded.state().items()}


def _state(step: int) -> str:
    return f"state-{step:012d}"


def _best(step: int) -> str:
    return f"best-{step:012d}"

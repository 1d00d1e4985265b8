"""The state of an unfinished training, in safetensors: what is needed to go on as if nothing had happened."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mlet_bench import files
from mlet_bench.errors import UserError


@dataclass
class Position:
    """Where a training stands."""

    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    best_step: int | None = None
    best_value: float | None = None
    evaluations_without_gain: int = 0
    lr_drops: int = 0
    """How often the learning rates were lowered."""
    rows: int = 0
    seconds: float = 0.0
    """Spent in steps, without evaluations."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """The lines of metrics.jsonl."""


def save_weights(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors as safetensors, whole or not at all."""
    with files.whole(path) as temporary:
        temporary.touch()  # with the rights that the user's umask gives; safetensors alone would give the owner's only
        rights = temporary.stat().st_mode
        save_file({name: value.detach().contiguous().cpu() for name, value in tensors.items()}, temporary)
        temporary.chmod(rights)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; UserError when it is damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read as safetensors ({error})") from None


class Checkpoints:
    """The last two states of a training, each with the best weights that it knows of.

    A state is described by a JSON file that is written last and holds the md5 of the files it needs: what is torn,
    damaged or missing is noticed, said, and the state before it is taken.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder, say
        folder.mkdir(exist_ok=True)

    def save_best(self, step: int, weights: dict[str, Tensor]) -> None:
        """Keep the weights after a step as the best so far."""
        save_weights(self.folder / _best(step), weights)

    def best(self, step: int) -> dict[str, Tensor]:
        """The weights that were kept after a step."""
        return load_weights(self.folder / _best(step))

    def save(self, model: torch.nn.Module, optimisers: dict[str, Tensor], position: Position) -> None:
        """Add a state, and remove all but the last two."""
        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        tensors |= {f"optimiser.{name}": value for name, value in optimisers.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if next(model.parameters()).is_cuda:
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        save_weights(self.folder / _state(position.step), tensors)
        needed = [_state(position.step)]
        if position.best_step is not None:
            needed.append(_best(position.best_step))
        described = {"md5": {name: files.md5(self.folder / name) for name in needed}, "position": asdict(position)}
        seal = files.fingerprint(described)
        files.write_json(self.folder / _description(position.step), {**described, "seal": seal})
        self._remove_older()

    def load(self, model: torch.nn.Module) -> tuple[dict[str, Tensor], Position] | None:
        """Put model and random state back as in the last sound state.

        Returns the optimisers' state and the position, or None if there is no sound state.
        """
        for path in self._descriptions():
            position = self._sound(path)
            if position is None:
                continue
            tensors = load_weights(self.folder / _state(position.step))
            model.load_state_dict(_under("model.", tensors), strict=True)
            torch.set_rng_state(tensors["random.cpu"])
            if "random.cuda" in tensors:
                torch.cuda.set_rng_state(tensors["random.cuda"])
            return _under("optimiser.", tensors), position
        return None

    def _sound(self, path: Path) -> Position | None:
        """The position that is described, if its files are what they were; else None, and why is said."""
        try:
            described = files.read_json(path)
            seal = described.pop("seal")
            if seal != files.fingerprint(described):
                raise UserError(f"{path}: damaged, it does not fit its checksum")
            position = Position(**described["position"])
            for name, md5 in described["md5"].items():
                if not (self.folder / name).is_file() or files.md5(self.folder / name) != md5:
                    raise UserError(f"{self.folder / name}: missing or damaged")
            return position
        except UserError as error:
            reason = str(error)
        except (AttributeError, KeyError, TypeError, ValueError):
            reason = f"{path}: damaged"
        self.say(f"checkpoint not used: {reason}; the one before it is taken, or the run begins anew")
        return None

    def _descriptions(self) -> list[Path]:
        """The newest first."""
        return sorted(self.folder.glob("state-*.json"), reverse=True)

    def _remove_older(self) -> None:
        kept = self._descriptions()[:2]
        needed = {path.name for path in kept}
        for path in kept:
            needed |= set(files.read_json(path)["md5"])
        for path in self.folder.iterdir():
            if path.name not in needed:
                path.unlink()


def _state(step: int) -> str:
    return f"state-{step:012d}.safetensors"


def _description(step: int) -> str:
    return f"state-{step:012d}.json"


def _best(step: int) -> str:
    return f"best-{step:012d}.safetensors"


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

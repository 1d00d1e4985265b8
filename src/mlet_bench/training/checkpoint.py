"""The state of an unfinished training, in safetensors: what is needed to go on as if nothing had happened."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from mlet_bench import files
from mlet_bench.errors import UserError

STATE, BEST = "state.safetensors", "best.safetensors"


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


def save_weights(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors as safetensors, whole or not at all."""
    with files.whole(path) as temporary:
        temporary.touch()  # with the rights that the user's umask gives; safetensors alone would give the owner's only
        rights = temporary.stat().st_mode
        save_file({name: value.detach().contiguous().cpu() for name, value in tensors.items()}, temporary, metadata)
        temporary.chmod(rights)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; UserError when it is damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read as safetensors ({error})") from None


def save(folder: Path, model: torch.nn.Module, optimisers: dict[str, Tensor], position: Position) -> None:
    """Replace the checkpoint in `folder`."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"optimiser.{name}": value for name, value in optimisers.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if next(model.parameters()).is_cuda:
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    save_weights(folder / STATE, tensors, {"position": json.dumps(asdict(position))})


def load(folder: Path, model: torch.nn.Module) -> tuple[dict[str, Tensor], Position] | None:
    """Put model and random state back; returns the optimisers' state and the position, None if there is none."""
    path = folder / STATE
    if not (path.is_file() and (folder / BEST).is_file()):
        return None
    try:
        with safe_open(path, "pt") as opened:
            position = Position(**json.loads(opened.metadata()["position"]))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        raise UserError(f"{path}: damaged; rerun=true starts the run anew") from None
    tensors = load_weights(path)
    model.load_state_dict(_under("model.", tensors), strict=True)
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return _under("optimiser.", tensors), position


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

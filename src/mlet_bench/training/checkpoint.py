"""The state of an unfinished training, in safetensors: what is needed to go on as if nothing had happened."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mlet_bench.embedding import Embedding
from mlet_bench.errors import UserError
from mlet_bench.system import files
from mlet_bench.training.optimizers import Optimizers


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


DTYPES = {torch.int64: "I64", torch.float64: "F64", torch.float32: "F32", torch.int32: "I32", torch.bfloat16: "BF16",
          torch.float16: "F16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}  # fmt: skip
"""Names in a safetensors file, in the order in which tensors lie there: wide ones first, so that all are aligned."""


def save_weights(path: Path, tensors: dict[str, Tensor]) -> str:
    """Write tensors as safetensors, whole or not at all, and return the md5 of the file.

    The bytes are those of the library's own `save`, and are hashed as they are written: reading gigabytes again would
    take as long as writing them. The library's writer makes a file under a name of its own first: a killed process
    would leave it in the run folder, where nobody could tell whose it is.
    """
    order = list(DTYPES)
    ordered = sorted(tensors.items(), key=lambda item: (order.index(item[1].dtype), item[0]))
    header, end = {}, 0
    for name, value in ordered:
        begin, end = end, end + value.numel() * value.element_size()
        header[name] = {"dtype": DTYPES[value.dtype], "shape": list(value.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.md5(usedforsecurity=False)
    with files.whole(path) as temporary, temporary.open("wb") as opened:

        def write(data: bytes | memoryview) -> None:
            opened.write(data)
            digest.update(data)

        write(len(text).to_bytes(8, "little") + text)
        for _, value in ordered:
            write(value.detach().contiguous().cpu().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; UserError when it is damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read as safetensors ({error})") from None


def local_weights(model: torch.nn.Module) -> Iterator[tuple[str, Tensor]]:
    """All weights that this process holds, by name."""
    yield from model.state_dict().items()
    for name, part in model.named_modules():
        if isinstance(part, Embedding) and part.sharded is not None:
            for field, first, rows in part.sharded.held():
                yield f"{name}: field {field}, rows from {first}", rows


class Checkpoints:
    """The last two states of a training, each with the best weights that it knows of.

    A state is described by a JSON file that is written last and holds the md5 of the files it needs: what is torn,
    damaged or missing is noticed, said, and the state before it is taken.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder, say
        self._kept: list[set[str]] = []
        """The files of each state, the newest last."""
        self._best_md5: dict[str, str] = {}
        """Of the best weights that are there, by their file."""
        folder.mkdir(exist_ok=True)

    def save_best(self, step: int, model: torch.nn.Module) -> None:
        """Keep the weights after a step as the best so far."""
        self._best_md5 = {_best(step): save_weights(self.folder / _best(step), model.state_dict())}
        self._remove_all_but(_best(step))

    def load_best(self, model: torch.nn.Module, step: int) -> None:
        """Put the weights back that were kept after a step."""
        model.load_state_dict(load_weights(self.folder / _best(step)), strict=True)

    def save(self, model: torch.nn.Module, optimizers: Optimizers, position: Position) -> None:
        """Add a state, and remove all but the last two."""
        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        tensors |= {f"optimiser.{name}": value for name, value in optimizers.state().items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if next(model.parameters()).is_cuda:
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        md5 = {_state(position.step): save_weights(self.folder / _state(position.step), tensors)}
        if position.best_step is not None:
            best = _best(position.best_step)
            md5[best] = self._best_md5.get(best) or files.md5(self.folder / best)  # of a run that was resumed
            self._best_md5 = {best: md5[best]}
        description = write_description(self.folder, position, md5)
        older = [names for names in self._kept if description not in names]
        self._kept = [*older[-1:], {description, *md5}]
        self._remove_all_but()

    def load(self, model: torch.nn.Module, optimizers: Optimizers) -> Position | None:
        """Put model, optimizers and random state back as in the last sound state; what is of no more use is removed.

        Returns the position, or None if there is no sound state.
        """
        found = self._last_sound()
        self._remove_all_but()
        if found is None:
            return None
        tensors = load_weights(self.folder / _state(found.step))
        model.load_state_dict(_under("model.", tensors), strict=True)
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])
        optimizers.load_state(_under("optimiser.", tensors))
        return found

    def _last_sound(self) -> Position | None:
        """The position of the newest undamaged state; problems of later ones are reported."""
        states = sound_states(sorted(self.folder.glob("state-*.json"), reverse=True), self._check, self.say)
        self._kept = [{path.name, *md5} for path, _, md5 in reversed(states)]
        return states[0][1] if states else None

    def _check(self, md5: dict[str, str]) -> None:
        for name, known in md5.items():
            if not (self.folder / name).is_file() or files.md5(self.folder / name) != known:
                raise UserError(f"{self.folder / name}: missing or damaged")

    def _remove_all_but(self, *names: str) -> None:
        """Remove what no state needs, half-written files of killed processes too; `names` stay."""
        needed = {*names}.union(*self._kept)
        for path in self.folder.iterdir():
            if path.name not in needed and not path.is_dir():  # a folder is that of a search
                files.remove(path)


def sound_states(
    paths: Iterable[Path], check: Callable[[dict[str, str]], None], say: Callable[[str], None]
) -> list[tuple[Path, Position, dict[str, str]]]:
    """Of states, the newest first, those from the first one on whose files `check` finds to be what they were.

    Problems of later states are reported; of earlier ones only the description is read.
    """
    states: list[tuple[Path, Position, dict[str, str]]] = []
    for path in paths:
        try:
            position, md5 = read_description(path)
            if not states:
                check(md5)
        except UserError as error:
            if not states:
                say(f"checkpoint not used: {error}; the one before it is used, or the run starts again")
            continue
        states.append((path, position, md5))
    return states


def read_description(path: Path) -> tuple[Position, dict[str, str]]:
    """A state's position and the md5 of its files; UserError if the description is damaged."""
    described = files.read_json(path)
    try:
        seal = described.pop("seal")
        if seal != files.fingerprint(described):
            raise UserError(f"{path}: damaged, it does not fit its checksum")
        return Position(**described["position"]), dict(described["md5"])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(f"{path}: damaged") from None


def write_description(folder: Path, position: Position, md5: dict[str, str]) -> str:
    """What makes a state of its files, the last one to be written; returns its name."""
    described = {"md5": md5, "position": asdict(position)}
    name = description_name(position.step)
    files.write_json(folder / name, {**described, "seal": files.fingerprint(described)})
    return name


def _state(step: int) -> str:
    return f"state-{step:012d}.safetensors"


def description_name(step: int) -> str:
    return f"state-{step:012d}.json"


def _best(step: int) -> str:
    return f"best-{step:012d}.safetensors"


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

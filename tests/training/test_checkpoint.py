"""Checkpoints: the last two are kept, and what is damaged is noticed and said."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import nn

from mlet_bench.training.checkpoint import DTYPES, Checkpoints, Position, save_weights
from mlet_bench.training.optimizers import Optimizers
from tests.counts import count, times
from tests.mutations import changed_json, damaged


class Kept(Optimizers):
    """What optimisers would keep."""

    def __init__(self) -> None:
        self.kept: dict[str, torch.Tensor] = {}

    def state(self) -> dict[str, torch.Tensor]:
        return self.kept

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        self.kept = state


class Saved:
    """Three states of one number, the steps 1, 2 and 3; the best weights are those of step 1, then of step 3."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, list[str]()
        self.model = nn.Linear(1, 1, bias=False)
        self.optimizers = Kept()
        checkpoints = self.opened()
        for step in (1, 2, 3):
            self.fill(step)
            best = 3 if step == 3 else 1
            if best == step:
                checkpoints.save_best(step, self.model)
            self.optimizers.kept = {"rows.0.steps": torch.tensor(float(step))}
            checkpoints.save(self.model, self.optimizers, Position(step=step, best_step=best, best_value=0.5))

    def opened(self) -> Checkpoints:
        return Checkpoints(self.folder, self.said.append)

    def fill(self, value: float) -> None:
        nn.init.constant_(self.model.weight, value)

    def loaded(self) -> int | None:
        """The step that is gone on from, after comparing everything with it."""
        self.fill(-1)
        position = self.opened().load(self.model, self.optimizers)
        if position is None:
            assert self.model.weight.item() == -1
            return None
        assert self.model.weight.item() == self.optimizers.kept["rows.0.steps"].item() == position.step
        assert position.best_step is not None
        self.opened().load_best(self.model, position.best_step)
        assert self.model.weight.item() == position.best_step
        return position.step


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    return Saved(tmp_path / "checkpoint")


def files(folder: Path) -> set[str]:
    return {path.name.replace("0" * 11, "") for path in folder.iterdir()}


def test_last_two_are_kept_with_their_best_weights(saved: Saved) -> None:
    states = {f"state-{step}.{kind}" for step in (2, 3) for kind in ("json", "safetensors")}
    assert files(saved.folder) == states | {"best-1.safetensors", "best-3.safetensors"}
    assert saved.loaded() == 3
    assert saved.said == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])  # more than a line end


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], None]] = {"cut": cut, "flip": flip, "remove": Path.unlink}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["state-{}.json", "state-{}.safetensors", "best-{}.safetensors"])
def test_damaged_state_is_said_and_the_one_before_is_taken(saved: Saved, name: str, damage: str) -> None:
    DAMAGE[damage](saved.folder / name.format(f"{3:012d}"))
    assert saved.loaded() == 2
    if (name, damage) != ("state-{}.json", "remove"):  # without its description a state was never finished
        assert len(saved.said) == 1
        assert str(saved.folder) in saved.said[0]


def test_without_a_sound_state_there_is_none(saved: Saved) -> None:
    for path in saved.folder.glob("state-*.safetensors"):
        flip(path)
    assert saved.loaded() is None
    assert len(saved.said) == 2


def test_description_of_another_shape_is_damage(saved: Saved) -> None:
    for text in ("[]", "{}", "null", json.dumps({"seal": "x", "md5": [], "position": 3})):
        (saved.folder / f"state-{3:012d}.json").write_text(text)
        assert saved.loaded() == 2


def test_any_damage_is_said_and_a_sound_state_is_taken(saved: Saved) -> None:
    whole = {path: path.read_bytes() for path in sorted(saved.folder.iterdir())}
    for number in range(times(150)):
        rng = random.Random(number)
        for path in rng.sample(list(whole), rng.choice([1, 1, 2])):
            is_json = path.suffix == ".json" and rng.random() < 0.5
            path.write_bytes(changed_json(whole[path], rng) if is_json else damaged(whole[path], rng))
        saved.said.clear()
        with count("checkpoints"):
            step = saved.loaded()
            assert step == 3 or saved.said
            assert step in (3, 2, None)
        for path, content in whole.items():
            path.write_bytes(content)


def test_weights_are_written_as_the_library_writes_them(tmp_path: Path) -> None:
    tensors = {f"{kind}.ü": torch.ones(2, 3).to(kind) for kind in DTYPES}
    tensors |= {"b": torch.randn(4, 5).t(), "a": torch.zeros(()), "none": torch.empty(0, 7)}
    save_weights(tmp_path / "ours", tensors)
    assert (tmp_path / "ours").read_bytes() == save({name: value.contiguous() for name, value in tensors.items()})
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


def test_damaged_state_that_is_newer_does_not_stay(saved: Saved) -> None:
    (saved.folder / f"state-{3:012d}.json").write_text("{")
    (saved.folder / ".state-4.safetensors.1.tmp").touch()
    checkpoints = saved.opened()
    assert checkpoints.load(saved.model, saved.optimizers) is not None
    assert files(saved.folder) == {"state-2.json", "state-2.safetensors", "best-1.safetensors"}
    checkpoints.save(saved.model, saved.optimizers, Position(step=3, best_step=1, best_value=0.5))
    assert saved.opened().load(saved.model, saved.optimizers) is not None
    assert len(saved.said) == 1


def test_best_weights_that_no_state_needs_do_not_pile_up(saved: Saved) -> None:
    checkpoints = saved.opened()
    checkpoints.load(saved.model, saved.optimizers)
    for step in (4, 5, 6):
        checkpoints.save_best(step, saved.model)
    bests = {name for name in files(saved.folder) if name.startswith("best")}
    assert bests == {"best-1.safetensors", "best-3.safetensors", "best-6.safetensors"}


def test_files_are_not_read_again_to_be_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlet_bench.system.files.md5", lambda path: pytest.fail("read again"))
    saved = Saved(tmp_path / "checkpoint")
    monkeypatch.undo()
    assert saved.loaded() == 3

"""A run whose model lies in shards, made by hand as several processes write it, is read as any other."""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mlet_bench import cli, load_model
from mlet_bench.runs.model_names import INDEX, MODEL
from mlet_bench.runs.run_folder import RunFolder
from tests.conftest import Ended
from tests.ends import assert_one_clear_line

Command = Callable[..., Ended]
TABLE = "embedding.table.weight"
PARTS = [f"model-{number:05d}-of-00003.safetensors" for number in (1, 2, 3)]


def in_shards(whole: Path, folder: Path) -> Path:
    """A copy of a finished run; slices of the table, named by their first row, lie in three files in no order."""
    shutil.copytree(whole, folder)
    tensors = load_file(folder / MODEL)
    table_VD = tensors.pop(TABLE)
    cuts = [0, 1, 7, 40, len(table_VD) // 2, len(table_VD)]
    held: list[dict[str, torch.Tensor]] = [tensors, {}, {}]
    for place, (first, end) in enumerate(itertools.pairwise(cuts)):
        held[(2 * place + 1) % 3][f"{TABLE}.rows.{first:012d}"] = table_VD[first:end].clone()
    for name, part in zip(PARTS, held, strict=True):
        save_file(part, folder / name)
    weight_map = {key: name for name, part in zip(PARTS, held, strict=True) for key in part}
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": weight_map}))
    (folder / MODEL).unlink()
    sealed(folder)
    return folder


def sealed(folder: Path) -> None:
    """DONE, as if the run had left its files as they are now."""
    RunFolder(folder).finish()


@pytest.fixture
def run(finished_run: Path) -> Path:
    return in_shards(finished_run, Path("sharded"))


def test_the_model_is_that_of_one_file(finished_run: Path, run: Path) -> None:
    expected = load_model(finished_run).state_dict()
    found = load_model(run).state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_evaluate_and_predict_give_the_same_bytes(command: Command, finished_run: Path, run: Path) -> None:
    for folder in (finished_run, run):
        words = (f"run={folder}", "dataset.raw=train.txt", f"hydra.run.dir=predicted-{folder.name}")
        assert command("predict", *words).code == cli.DONE
        assert command("evaluate", f"run={folder}", f"hydra.run.dir=evaluated-{folder.name}").code == cli.DONE
    for path in (
        "predicted-{}/predictions.parquet",
        "evaluated-{}/predictions.parquet",
        "evaluated-{}/evaluation.json",
    ):
        assert Path(path.format(run.name)).read_bytes() == Path(path.format(finished_run.name)).read_bytes()


@pytest.mark.parametrize("words", [("format=pt2",), ("format=safetensors", "bits=8")])
def test_export_writes_what_it_writes_of_one_file(
    command: Command, finished_run: Path, run: Path, words: tuple[str, ...]
) -> None:
    found = {}
    for folder in (finished_run, run):
        out = f"export-{folder.name}"
        assert command("export", f"run={folder}", *words, f"hydra.run.dir={out}").code == cli.DONE
        found[folder] = json.loads(Path(out, "export.json").read_text())
    assert found[run]["check"] == found[finished_run]["check"]
    if "format=safetensors" in words:
        one, other = (Path(f"export-{folder.name}", MODEL).read_bytes() for folder in (finished_run, run))
        assert one == other


def test_a_run_in_shards_is_reported(command: Command, run: Path) -> None:
    ended = command("report", f"runs={run}", "hydra.run.dir=report")
    assert ended.code == cli.DONE, ended.err
    auc = json.loads((run / "result.json").read_text())["metrics"]["test"]["auc"]
    assert f"{auc:.4f}" in ended.out


def remove_part(run: Path) -> str:
    (run / PARTS[1]).unlink()
    return f"{run / PARTS[1]}: missing"


def cut_part(run: Path) -> str:
    with (run / PARTS[2]).open("r+b") as part:
        part.truncate((run / PARTS[2]).stat().st_size - 8)
    return f"{run / PARTS[2]}: damaged"


def flip_part(run: Path) -> str:
    content = bytearray((run / PARTS[0]).read_bytes())
    content[-1] ^= 1
    (run / PARTS[0]).write_bytes(content)
    return f"{run / PARTS[0]}: damaged"


def remove_index(run: Path) -> str:
    (run / INDEX).unlink()
    return f"{run / INDEX}: missing"


def name_other_files(run: Path) -> str:
    index = json.loads((run / INDEX).read_text())
    (run / INDEX).write_text(json.dumps({**index, "weight_map": {TABLE: "../../model.safetensors"}}))
    sealed(run)
    return f"{run / INDEX}: damaged, it names files that no model is stored in"


def lose_a_slice(run: Path) -> str:
    index = json.loads((run / INDEX).read_text())
    del index["weight_map"][f"{TABLE}.rows.{7:012d}"]
    (run / INDEX).write_text(json.dumps(index))
    sealed(run)
    return f"{run / INDEX}: damaged, rows of {TABLE} are missing"


def lose_the_last_slice(run: Path) -> str:
    index = json.loads((run / INDEX).read_text())
    del index["weight_map"][max(name for name in index["weight_map"] if name.startswith(TABLE))]
    (run / INDEX).write_text(json.dumps(index))
    sealed(run)
    return f"{run / INDEX}: does not fit its config"


def be_not_finite(run: Path) -> str:
    part = load_file(run / PARTS[1])
    save_file({name: torch.full_like(value, np.nan) for name, value in part.items()}, run / PARTS[1])
    sealed(run)
    return f"{run / INDEX}: "


@pytest.mark.parametrize(
    "harm",
    [remove_part, cut_part, flip_part, remove_index, name_other_files, lose_a_slice, lose_the_last_slice,
     be_not_finite],
)  # fmt: skip
def test_damage_is_named_in_one_line_and_nothing_is_made(
    command: Command, run: Path, harm: Callable[[Path], str]
) -> None:
    named = harm(run)
    for words in (("evaluate",), ("predict", "dataset.raw=train.txt"), ("export", "format=safetensors")):
        ended = command(*words, f"run={run}", "hydra.run.dir=out")
        if words[0] == "export" and harm is be_not_finite:  # it compares logits, and says that they differ
            assert ended.code == cli.FAILED
        else:
            assert_one_clear_line(ended, words)
            assert named in ended.err
        assert not Path("out").exists()

"""`mlet-bench export`: checked before it is there, whole or not at all, usable without this package."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from mlet_bench import cli
from mlet_bench.data import Prepared
from mlet_bench.serving import FORMATS
from mlet_bench.serving.format import Runner
from tests.conftest import TINY, Ended

Command = Callable[..., Ended]
SERVING = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
ALONE = """
import sys
sys.modules["mlet_bench"] = None  # whoever imports it fails
import json, torch
program = torch.export.load("out/model.pt2").module()
given = json.load(open("rows.json"))
logit, probability = program(torch.tensor(given["ids"]), torch.tensor(given["numeric"]))
print(json.dumps([logit.tolist(), probability.tolist()]))
"""


def found_in(folder: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "export.json").read_text())
    return found


def test_a_pt2_file_runs_where_this_package_is_not(command: Command, finished_run: Path) -> None:
    ended = command("export", f"run={finished_run}", "hydra.run.dir=out")
    assert ended.code == cli.DONE, ended.err
    assert ended.out.strip().splitlines()[-1] == "export: out"
    expected = pq.read_table(finished_run / "predictions.parquet")
    test = Prepared.open(next(Path("data/prepared").iterdir())).split("test", counts=False)
    Path("rows.json").write_text(json.dumps({"ids": test.ids_BF.tolist(), "numeric": test.numeric_BN.tolist()}))
    ran = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    logit_R, probability_R = json.loads(ran.stdout)
    np.testing.assert_allclose(logit_R, expected["logit"], atol=1e-5)
    np.testing.assert_allclose(probability_R, expected["probability"], atol=1e-5)
    found, result = found_in("out"), json.loads((finished_run / "result.json").read_text())
    assert found["check"]["rows"] == len(expected)
    assert found["check"]["metrics"]["auc"] == pytest.approx(result["metrics"]["test"]["auc"], abs=1e-3)
    assert found["check"]["max_abs_logit_diff"] <= found["check"]["allowed"] == pytest.approx(1e-5, rel=2)
    assert sorted(path.name for path in Path("out").iterdir()) == sorted([*found["files"], "README.md", "export.json"])


@pytest.mark.parametrize("bits", ["8", "4"])
def test_quantised_tables_score_what_evaluate_says_and_take_its_bytes(
    command: Command, finished_run: Path, bits: str
) -> None:
    assert command("export", f"run={finished_run}", "format=safetensors", f"bits={bits}").code == cli.DONE
    assert command("evaluate", f"run={finished_run}", f"bits={bits}", "hydra.run.dir=again").code == cli.DONE
    found = found_in(next(Path("outputs/exports").glob(f"*-safetensors-{bits}")))
    evaluated = json.loads(Path("again/evaluation.json").read_text())
    assert found["check"]["metrics"]["logloss"] == pytest.approx(evaluated["metrics"]["logloss"], abs=1e-6)
    assert found["check"]["metrics"]["auc"] == pytest.approx(evaluated["metrics"]["auc"], abs=1e-6)
    assert found["embedding_bytes"] == evaluated["embedding_bytes"]


def test_the_example_serves_a_raw_row(command: Command, finished_run: Path) -> None:
    """The code in docs/serving.md, over rows of the raw file, some of them with cells that nobody has seen."""
    pytest.importorskip("onnxruntime")
    assert command("export", f"run={finished_run}", "format=onnx", "hydra.run.dir=export").code == cli.DONE
    (block,) = (block for block in re.findall(r"```python\n(.*?)```", SERVING, re.DOTALL) if "vocabulary" in block)
    scope: dict[str, Any] = {}
    exec(compile(block, "docs/serving.md", "exec"), scope)
    names = ["label", *(f"I{place}" for place in range(1, 14)), *(f"C{place}" for place in range(1, 27))]
    lines = Path("train.txt").read_text().splitlines()
    test_rows = pq.read_table(finished_run / "predictions.parquet")
    rows = [dict(zip(names, line.split("\t"), strict=True)) for line in lines[-len(test_rows) :]]
    served = [scope["probability"](row) for row in rows]
    np.testing.assert_allclose(served, test_rows["probability"], atol=1e-5)
    assert scope["probability"]({**rows[0], "C1": "never seen", "I1": ""}) != served[0]


def test_the_same_command_finds_its_export_and_damage_is_named(command: Command, finished_run: Path) -> None:
    words = ("export", f"run={finished_run}", "format=safetensors", "hydra.run.dir=out")
    first = command(*words)
    times = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    assert command(*words).out == first.out
    assert {path: path.stat().st_mtime_ns for path in Path("out").iterdir()} == times
    other = command(*words, "bits=8")
    assert other.code == cli.MISTAKE
    assert "out: holds something else" in other.err
    with Path("out/model.safetensors").open("ab") as file:
        file.write(b"x")
    ended = command(*words)
    assert (ended.code, "out/model.safetensors: damaged" in ended.err) == (cli.MISTAKE, True)


def damage(run: Path) -> None:
    with (run / "model.safetensors").open("r+b") as file:
        file.truncate(1000)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["format=pt"], r"format=pt: not allowed; allowed: pt2, onnx, safetensors\. Did you mean pt2\?"),
        (["bits=16"], r"bits=16: not allowed; allowed: 32, 8, 4"),
        (["run=rum"], r"run=rum: no such folder\. Did you mean run\?"),
        (["dataset.prepared=run"], r"run: not a prepared data set"),
        (["format=onnx"], r'format=onnx needs onnxruntime: pip install "mlet-bench\[onnx\]"'),
    ],
)
def test_mistakes_are_one_line_and_create_nothing(
    command: Command, finished_run: Path, words: list[str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    before = sorted(Path().rglob("*"))
    ended = command("export", f"run={finished_run}", *words)
    assert ended.code == cli.MISTAKE
    assert re.search(line, ended.err), ended.err
    assert ended.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_a_damaged_run_and_another_vocabulary_are_named(command: Command, finished_run: Path) -> None:
    command("prepare", "dataset=criteo", "dataset.raw=train.txt", "dataset.min_count=2")
    other = next(path for path in Path("data/prepared").iterdir() if Prepared.open(path).min_count == 2)
    ended = command("export", f"run={finished_run}", f"dataset.prepared={other}")
    assert (ended.code, "has another vocabulary than the run" in ended.err) == (cli.MISTAKE, True)
    damage(finished_run)
    ended = command("export", f"run={finished_run}")
    assert (ended.code, "model.safetensors: damaged" in ended.err) == (cli.MISTAKE, True)
    assert not Path("outputs/exports").exists()


def test_a_file_that_gives_other_logits_is_never_there(
    command: Command, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(self: object, folder: Path, program: object) -> Runner:
        return lambda ids_BF, numeric_BN: torch.ones(len(ids_BF))

    monkeypatch.setattr(type(FORMATS["safetensors"]), "read", wrong)
    ended = command("export", f"run={finished_run}", "format=safetensors")
    assert ended.code == cli.FAILED
    assert re.search(r"format=safetensors: a logit changed by .* is allowed; nothing was exported", ended.err)
    assert not Path("outputs").exists()


def test_what_a_killed_export_left_is_removed_by_the_next(command: Command, finished_run: Path) -> None:
    """Its process is no more; a folder of one that is at work stays."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, os.getppid(), "x"):
        Path(f".out.{pid}.tmp").mkdir()
    assert command("export", f"run={finished_run}", "format=safetensors", "hydra.run.dir=out").code == cli.DONE
    assert sorted(path.name for path in Path().glob(".out*")) == sorted([".out.x.tmp", f".out.{os.getppid()}.tmp"])


def test_what_is_no_table_is_not_quantised(command: Command, workplace: Path, finished_run: Path) -> None:
    more = ("emb=robe", "emb.ratio=0.9", "emb.min_rows=3", "hydra.run.dir=robe")
    assert command("train", "dataset=criteo", "dataset.raw=train.txt", *TINY, *more).code == cli.DONE
    ended = command("export", "run=robe", "bits=8")
    assert ended.code == cli.MISTAKE
    assert "bits=8: emb=robe serves more than tables" in ended.err
    assert command("export", "run=robe", "format=safetensors").code == cli.DONE


def test_names_from_the_data_are_escaped_in_the_card(command: Command, workplace: Path) -> None:
    Path("rows.csv").write_text("label,<b>a|b\n" + "".join(f"{k % 2},{k % 5}\n" for k in range(60)))
    words = ("dataset=table", "dataset.raw=rows.csv", "model=lr", "dataset.item_field='<b>a|b'", "train.epochs=1")
    ended = command("train", *words, "dataset.name=n_m", "hydra.run.dir=run")
    assert ended.code == cli.DONE, ended.err
    assert command("export", "run=run", "format=safetensors", "hydra.run.dir=out").code == cli.DONE
    text = Path("out/README.md").read_text()
    assert r"| &lt;b&gt;a\|b | " in text
    assert "<b>" not in text
    assert text.splitlines()[0].endswith(r", on n\_m")

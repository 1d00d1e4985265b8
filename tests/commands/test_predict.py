"""A finished run asked about rows: what comes out, in which order, and what is refused."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import safetensors.torch

from mlet_bench import cli
from mlet_bench.commands import predict
from mlet_bench.errors import Interrupted
from mlet_bench.system import files
from tests.conftest import TINY, Ended, criteo_cells, write_criteo
from tests.ends import assert_one_clear_line, everything_in
from tests.processes import Running, Trouble

Command = Callable[..., Ended]


@pytest.fixture
def run(finished_run: Path) -> Path:
    """Trained on train.txt beside it, the last 30 rows its test split."""
    return finished_run


def probabilities(path: str | Path) -> np.ndarray:
    return np.asarray(pq.read_table(path).column("probability").to_numpy())


def test_rows_without_labels_get_the_probabilities_of_evaluate(command: Command, run: Path) -> None:
    cells = criteo_cells(420)
    write_criteo(Path("test.txt"), [row[1:] for row in cells])
    ended = command("predict", f"run={run}", "dataset.raw=test.txt", "hydra.run.dir=out")
    assert (ended.code, ended.err) == (cli.DONE, "")
    assert ended.out.splitlines()[-1] == "predictions: out/predictions.parquet"
    assert {path.name for path in Path("out").iterdir()} == {"predictions.parquet", "predict.json"}
    table = pq.read_table("out/predictions.parquet")
    assert table.schema == pa.schema([("row", pa.int64()), ("probability", pa.float64())])
    assert table.column("row").to_pylist() == list(range(420))
    found_R = table.column("probability").to_numpy()
    np.testing.assert_array_equal(found_R[390:], probabilities(run / "predictions.parquet"))
    assert command("evaluate", f"run={run}", "split=train", "hydra.run.dir=train").code == cli.DONE
    np.testing.assert_array_equal(found_R[:360], probabilities("train/predictions.parquet"))
    found = json.loads(Path("out/predict.json").read_text())
    assert (found["rows"], found["files"]) == (420, [{"path": "test.txt", "bytes": Path("test.txt").stat().st_size}])
    assert found["mean_probability"] == pytest.approx(found_R.mean())


def test_commands_of_the_documentation_work(command: Command, run: Path) -> None:
    write_criteo(Path("test.txt"), [row[1:] for row in criteo_cells(9)])
    lines = re.findall("^mlet-bench (.*)", (Path(__file__).parents[2] / "docs" / "predicting.md").read_text(), re.M)
    assert [command(*shlex.split(line)).code for line in lines] == [cli.DONE] * len(lines)
    assert len(lines) == 2


def test_columns_that_go_along_in_both_formats(command: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "BLOCK_ROWS", 1)
    config = run / "config.yaml"  # blocks of the run's eval.batch_size
    assert "batch_size: 8192" in config.read_text()
    words = ("predict", f"run={run}", "dataset.raw=train.txt", "predict.keep=[label,C2,I3]")
    for kind in ("parquet", "csv"):
        assert command(*words, f"predict.format={kind}").code == cli.DONE
    (parquet,) = Path("outputs/predictions").glob("*/predictions.parquet")
    (text,) = Path("outputs/predictions").glob("*/predictions.csv")
    table, read = pq.read_table(parquet), pyarrow.csv.read_csv(text)
    assert table.column_names == read.column_names == ["row", "probability", "label", "C2", "I3"]
    cells = criteo_cells(420)
    assert table.column("label").to_pylist() == [row[0] for row in cells]
    assert table.column("C2").to_pylist() == [row[15] for row in cells]
    assert table.column("I3").to_pylist() == read.column("I3").to_pylist()
    np.testing.assert_array_equal(read.column("probability").to_numpy(), table.column("probability").to_numpy())


def test_a_run_on_a_table_and_blocks_of_any_size(
    command: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{rng.integers(2)},{rng.integers(20)},{rng.random():.3f},u{i}" for i in range(500)]
    Path("rows.csv").write_text("\n".join(["label,item,price,id", *rows]))
    command("train", "dataset=table", "dataset.raw=rows.csv", "dataset.split=order", "dataset.drop=[id]", *TINY,
            "eval.batch_size=16", "hydra.run.dir=run")  # fmt: skip
    monkeypatch.setattr(predict, "BLOCK_ROWS", 40)
    Path("bare.csv").write_text("\n".join(["item,price,id", *(row.split(",", 1)[1] for row in rows)]))
    words = ("predict", "run=run", "dataset.raw=bare.csv", "predict.keep=[id]", "hydra.run.dir=out")
    assert command(*words).code == cli.DONE
    table = pq.read_table("out/predictions.parquet")
    assert table.column("row").to_pylist() == list(range(500))
    assert table.column("id").to_pylist() == [f"u{i}" for i in range(500)]
    np.testing.assert_allclose(
        table.column("probability").to_numpy()[450:], probabilities("run/predictions.parquet"), rtol=1e-6
    )


def test_a_field_of_unknown_categories_is_said(command: Command, run: Path) -> None:
    cells = criteo_cells(20)
    for row in cells:
        row[15] = "unheard"
    write_criteo(Path("later.txt"), cells)
    ended = command("predict", f"run={run}", "dataset.raw=later.txt", "hydra.run.dir=out")
    assert "note: column C2: 100 % of the rows hold categories that were never seen in training" in ended.out
    assert json.loads(Path("out/predict.json").read_text())["unseen"]["C2"] == 1


def changed_weights(run: Path) -> None:
    weights = safetensors.torch.load_file(run / "model.safetensors")
    weights["embedding.table.weight"][:] = float("inf")
    safetensors.torch.save_file(weights, run / "model.safetensors")
    known = json.loads((run / "DONE").read_text())
    model = run / "model.safetensors"
    known["files"]["model.safetensors"] = {"bytes": model.stat().st_size, "md5": files.md5(model)}
    (run / "DONE").write_text(json.dumps(known))


def made(folder: str) -> Path:
    Path(folder).mkdir()
    return Path(folder)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


Mistake = tuple[str, Callable[[Path], Any] | None, tuple[str, ...], str]
"""What it is, what is done before, further words, and the message."""
MISTAKES: list[Mistake] = [
    ("no rows", None, ("dataset.raw=null",), "dataset.raw=null: give the file of rows, a folder or a glob"),
    ("no run", None, ("run=null",), "run=null: give the folder of a finished run"),
    ("absent rows", None, ("dataset.raw=trian.txt",), "Did you mean train.txt?"),
    ("a format", None, ("predict.format=onnx",), "predict.format=onnx: not allowed; allowed: parquet, csv"),
    ("a column", None, ("predict.keep=[C27]",), "predict.keep=C27: train.txt has no such column"),
    ("a column of ours", None, ("predict.keep=[row]",), "predict.keep=row: the predictions already have"),
    ("a key", None, ("predict.kepp=[C1]",), "Did you mean predict.keep?"),
    ("a column is missing", lambda run: write_criteo(Path("train.txt"), [row[3:] for row in criteo_cells(9)]), (),
     "line 1 has 37 columns, 40 are needed"),
    ("a bad row far down", lambda run: Path("train.txt").write_bytes(Path("train.txt").read_bytes() * 30 + b"1\t2\n"),
     (), "train.txt: line 12601 has 2 columns"),
    ("no rows in it", lambda run: Path("train.txt").write_text(""), (), "train.txt: the file is empty"),
    ("truncated weights", lambda run: cut(run / "model.safetensors"), (), "model.safetensors: damaged"),
    ("an edited config", lambda run: (run / "config.yaml").write_text("seed: 2"), (), "config.yaml: damaged"),
    ("weights of infinity", changed_weights, (), "the logit of row 0 is not finite"),
    ("no data", lambda run: shutil.rmtree("data/prepared"), (), "the run's data is not there"),
    ("an edited vocabulary", lambda run: cut(next(Path("data").glob("prepared/*/vocab/C1.parquet"))), (), "C1.parquet"),
    ("a folder of others", lambda run: (made("out") / "notes.txt").touch(), (), "holds other files"),
    ("the run's own folder", None, ("hydra.run.dir=run",), "holds other files"),
    ("unfinished", lambda run: (run / "DONE").unlink(), (), "not the folder of a finished run"),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake[0] for mistake in MISTAKES])
def test_what_is_refused(command: Command, run: Path, mistake: Mistake) -> None:
    _, before, words, said = mistake
    if before is not None:
        before(run)
    there = everything_in(Path())
    ended = command("predict", f"run={run}", "dataset.raw=train.txt", "hydra.run.dir=out", *words)
    assert_one_clear_line(ended)
    assert said in ended.err
    assert everything_in(Path()) == there


def test_another_vocabulary_is_refused(command: Command, run: Path) -> None:
    write_criteo(Path("other.txt"), criteo_cells(300, seed=7))
    command("prepare", "dataset=criteo", "dataset.raw=other.txt", "dataset.min_count=2")
    other = next(path for path in Path("data/prepared").iterdir() if json.loads((path / "manifest.json").read_text())
                 ["options"]["min_count"] == 2)  # fmt: skip
    ended = command("predict", f"run={run}", "dataset.raw=train.txt", f"dataset.prepared={other}", "hydra.run.dir=out")
    assert_one_clear_line(ended)
    assert "has another vocabulary than the run was trained with" in ended.err
    assert not Path("out").exists()


def test_stopped_in_the_middle_it_leaves_nothing(command: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("train.txt").write_bytes(Path("train.txt").read_bytes() * 40)
    written = []

    def stop(*given: Any) -> np.ndarray:
        written.append(given)
        if len(written) == 2:
            raise Interrupted(15)
        return real(*given)

    real = predict.predict
    monkeypatch.setattr(predict, "BLOCK_ROWS", 1)
    monkeypatch.setattr(predict, "predict", stop)
    there = everything_in(Path())
    words = ("predict", f"run={run}", "dataset.raw=train.txt", "hydra.run.dir=deep/out")
    assert command(*words).code == 128 + 15
    assert everything_in(Path()) == there
    assert command(*words).code == cli.DONE
    assert len(probabilities("deep/out/predictions.parquet")) == 40 * 420


@pytest.mark.parametrize("left", [2, *(pytest.param(left, marks=pytest.mark.more) for left in (0, 1, 3, 4))])
def test_killed_near_its_end_it_leaves_nothing_half(run: Path, left: int) -> None:
    words = ["predict", f"run={run}", "dataset.raw=train.txt", "hydra.run.dir=out"]
    whole = Running(words, Path.cwd())
    assert whole.ended().code == cli.DONE
    expected = pq.read_table("out/predictions.parquet")
    shutil.rmtree("out")
    killed = Running(words, Path.cwd(), Trouble(kill_before=whole.operations - 1 - left))
    assert killed.ended().code < 0
    if Path("out/predictions.parquet").exists():
        assert Path("out/predict.json").exists()
        assert pq.read_table("out/predictions.parquet").equals(expected)
    assert Running(words, Path.cwd()).ended().code == cli.DONE
    assert {path.name for path in Path("out").iterdir()} == {"predictions.parquet", "predict.json"}
    assert pq.read_table("out/predictions.parquet").equals(expected)

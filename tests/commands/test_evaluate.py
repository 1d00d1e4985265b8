"""A finished run evaluated again: on its own data, on other data, and what is refused."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import roc_auc_score

from mlet_bench import cli
from mlet_bench.data import Prepared
from mlet_bench.embedding import SingleEmbedding
from mlet_bench.training.checkpoint import load_weights
from tests.conftest import RUN, TINY, Ended, criteo_cells, write_criteo
from tests.counts import count, times
from tests.ends import assert_one_clear_line, end_of
from tests.mutations import changed_json, damaged

Command = Callable[..., Ended]


@pytest.fixture
def run(finished_run: Path) -> Path:
    return finished_run


def found_in(folder: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "evaluation.json").read_text())
    return found


def prepared_with(command: Command, *words: str) -> Path:
    ended = command("prepare", "dataset=criteo", "dataset.raw=later.txt", *words)
    assert ended.code == cli.DONE
    return Path(ended.out.strip().splitlines()[-1].removeprefix("prepared folder: "))


def test_own_test_split_gives_the_metrics_of_the_run(command: Command, run: Path) -> None:
    ended = command("evaluate", f"run={run}", "hydra.run.dir=again")
    assert ended.code == cli.DONE
    assert "all rows" in ended.out
    result, found = json.loads((run / "result.json").read_text()), found_in("again")
    assert found["metrics"] == result["metrics"]["test"]
    assert found["buckets"] == result["buckets"]
    assert pq.read_table("again/predictions.parquet").equals(pq.read_table(run / "predictions.parquet"))


def test_tables_cut_to_a_rank_are_those_of_the_singular_value_decomposition(command: Command, run: Path) -> None:
    assert command("evaluate", f"run={run}", "rank=2").code == cli.DONE
    whole = load_weights(run / "model.safetensors")
    own = next(Path("data/prepared").iterdir())
    embedding = SingleEmbedding.from_weights(Prepared.open(own).cardinalities, whole["embedding.table.weight"].clone())
    embedding.compress(rank=2)
    start = 0
    for rows in embedding.cardinalities:
        left, values, right = np.linalg.svd(whole["embedding.table.weight"][start : start + rows].numpy())
        values[2:] = 0
        least = min(rows, embedding.dim)
        expected = (left[:, :least] * values) @ right[:least]
        np.testing.assert_allclose(embedding.table.weight.detach()[start : start + rows].numpy(), expected, atol=1e-6)
        start += rows
    found = found_in(next(Path("outputs/evaluations").glob("*-test-*-rank2")))
    result = json.loads((run / "result.json").read_text())
    assert (found["rank"], found["bits"]) == (2, None)
    rows, fields = sum(embedding.cardinalities), len(embedding.cardinalities)
    assert found["embedding_bytes"] == 4 * 2 * (rows + fields * embedding.dim)
    assert found["metrics"]["rows"] == result["metrics"]["test"]["rows"]
    assert found["metrics"] != result["metrics"]["test"]
    ended = command("evaluate", f"run={run}", f"rank={embedding.dim}")
    assert ended.code == cli.MISTAKE
    assert f"allowed: 1 to {embedding.dim - 1}" in ended.err


def test_quantised_tables_and_their_bytes(command: Command, run: Path) -> None:
    weight_VD = load_weights(run / "model.safetensors")["embedding.table.weight"]
    fields = len(Prepared.open(next(Path("data/prepared").iterdir())).cardinalities)
    result = json.loads((run / "result.json").read_text())
    logloss = {}
    for bits, size in ((8, weight_VD.numel()), (2, None)):
        ended = command("evaluate", f"run={run}", f"bits={bits}")
        assert f"tables quantised to {bits} bits" in ended.out
        found = found_in(next(Path("outputs/evaluations").glob(f"*-test-*-bits{bits}")))
        assert (found["rank"], found["bits"]) == (None, bits)
        assert size is None or found["embedding_bytes"] == size + 4 * fields
        logloss[bits] = found["metrics"]["logloss"]
    whole = result["metrics"]["test"]["logloss"]
    assert 0 < abs(logloss[8] - whole) < abs(logloss[2] - whole)
    assert command("evaluate", f"run={run}", "rank=2", "bits=4").code == cli.DONE
    both = found_in(next(Path("outputs/evaluations").glob("*-test-*-rank2-bits4")))
    assert both["embedding_bytes"] < 4 * 2 * (len(weight_VD) + fields * weight_VD.shape[1])
    ended = command("evaluate", f"run={run}", "bits=9")
    assert ended.code == cli.MISTAKE
    assert "bits=9" in ended.err


def test_other_splits_and_the_default_folder(command: Command, run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    for split in ("valid", "train"):
        ended = command("evaluate", f"run={run}", f"split={split}")
        found = found_in(ended.out.strip().splitlines()[-1].removeprefix("evaluation: "))
        assert found["metrics"]["rows"] == result["dataset"]["rows"][split]
    assert found_in(next(Path("outputs/evaluations").glob("*-valid-*")))["metrics"] == result["metrics"]["valid"]


def test_other_data_with_the_same_vocabulary(command: Command, run: Path) -> None:
    cells = criteo_cells(90, seed=5)
    cells[0][14] = "never seen"
    write_criteo(Path("later.txt"), cells)
    own = next(Path("data/prepared").iterdir())
    other = prepared_with(command, f"dataset.vocab={own}", "dataset.split=test")
    assert command("evaluate", f"run={run}", f"dataset.prepared={other}", "hydra.run.dir=other").code == cli.DONE
    found, predictions = found_in("other"), pq.read_table("other/predictions.parquet").to_pydict()
    assert found["metrics"]["rows"] == 90
    assert found["metrics"]["auc"] == pytest.approx(
        roc_auc_score(predictions["label"], predictions["logit"]), abs=1e-12
    )
    assert predictions["label"] == [int(row[0]) for row in cells]
    unseen = [bucket for bucket in found["buckets"] if bucket["field"] == "C1" and bucket["bucket"] == "0"]
    assert unseen
    assert unseen[0]["rows"] >= 1


def test_the_same_rows_by_way_of_the_vocabulary_get_the_same_logits(command: Command, run: Path) -> None:
    Path("later.txt").write_bytes(b"".join(Path("train.txt").read_bytes().splitlines(keepends=True)[390:]))
    own = next(Path("data/prepared").iterdir())
    other = prepared_with(command, f"dataset.vocab={own}", "dataset.split=test")
    assert command("evaluate", f"run={run}", f"dataset.prepared={other}", "hydra.run.dir=other").code == cli.DONE
    assert pq.read_table("other/predictions.parquet").equals(pq.read_table(run / "predictions.parquet"))


def test_auc_within_groups(command: Command, run: Path) -> None:
    cells = criteo_cells(420)
    for column, field in ((14, "C1"), (15, "C2")):  # C1 tells the label: none of its groups has both classes
        assert command("evaluate", f"run={run}", f"dataset.group={field}", f"hydra.run.dir={field}").code == cli.DONE
        found, predictions = found_in(field)["metrics"], pq.read_table(f"{field}/predictions.parquet").to_pydict()
        known = {row[column] for row in cells[:360]}
        groups: dict[str, list[int]] = {}
        for place, row in enumerate(cells[390:]):
            if row[column] in known:
                groups.setdefault(row[column], []).append(place)
        counted = []
        for places in groups.values():
            labels, logits = ([predictions[name][place] for place in places] for name in ("label", "logit"))
            if len(set(labels)) == 2:
                counted.append((len(places), roc_auc_score(labels, logits)))
        rows = sum(count for count, _ in counted)
        assert (field == "C1") == (not counted)
        assert (found["gauc_field"], found["gauc_groups"], found["gauc_rows"]) == (field, len(counted), rows)
        assert found["gauc_one_class_groups"] == len(groups) - len(counted)
        assert found["gauc_unknown_rows"] == 30 - sum(map(len, groups.values()))
        expected = sum(count * auc for count, auc in counted) / rows if rows else None
        assert found["gauc"] == pytest.approx(expected, abs=1e-12)
    plain = json.loads((run / "result.json").read_text())["metrics"]["test"]
    assert {name: value for name, value in found.items() if not name.startswith("gauc")} == plain


def test_training_with_a_group_says_what_evaluate_says(command: Command, run: Path) -> None:
    words = ("train", "dataset=criteo", "dataset.raw=train.txt", "emb=mlet", "emb.inner=8", *TINY, "dataset.group=C2")
    ended = command(*words, "hydra.run.dir=trained")
    assert ended.code == cli.DONE
    assert "GAUC by C2" in ended.out
    result = json.loads(Path("trained/result.json").read_text())
    assert command("evaluate", "run=trained", "hydra.run.dir=again").code == cli.DONE
    assert command("evaluate", f"run={run}", "dataset.group=C2", "hydra.run.dir=given").code == cli.DONE
    assert found_in("again")["metrics"] == found_in("given")["metrics"] == result["metrics"]["test"]
    assert result["metrics"]["valid"]["gauc_field"] == "C2"


def test_a_run_made_before_groups_is_evaluated_as_before(command: Command, run: Path) -> None:
    lines = (run / "config.yaml").read_text().splitlines(keepends=True)
    (run / "config.yaml").write_text("".join(line for line in lines if line != "  group: null\n"))
    (run / "DONE").write_text("")  # of that time
    assert command("evaluate", f"run={run}", "hydra.run.dir=again").code == cli.DONE
    assert found_in("again")["metrics"] == json.loads((run / "result.json").read_text())["metrics"]["test"]


def test_a_group_that_is_no_field_is_named(command: Command, run: Path) -> None:
    ended = command("evaluate", f"run={run}", "dataset.group=C33", "hydra.run.dir=again")
    assert ended.code == cli.MISTAKE
    assert "dataset.group=C33: no such field" in ended.err
    assert "Did you mean C3" in ended.err
    assert not Path("again").exists()


def test_another_vocabulary_is_refused(command: Command, run: Path) -> None:
    write_criteo(Path("later.txt"), criteo_cells(90, seed=5))
    other = prepared_with(command)
    ended = command("evaluate", f"run={run}", f"dataset.prepared={other}", "hydra.run.dir=other")
    assert ended.code == cli.MISTAKE
    assert "another vocabulary" in ended.err
    assert not Path("other").exists()


def test_training_on_rows_for_evaluation_is_refused(command: Command, run: Path) -> None:
    write_criteo(Path("later.txt"), criteo_cells(90, seed=5))
    own = next(Path("data/prepared").iterdir())
    other = prepared_with(command, f"dataset.vocab={own}", "dataset.split=test")
    ended = command("train", "dataset=criteo", f"dataset.prepared={other}", *TINY)
    assert ended.code == cli.MISTAKE
    assert "no training rows" in ended.err
    ended = command("evaluate", f"run={run}", f"dataset.prepared={other}", "split=train")
    assert ended.code == cli.MISTAKE
    assert "split=train" in ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "run=null"),
        (("run=",), "run"),
        (("run=somewhere",), "run=somewhere"),
        (("run=.", "split=tset"), "Did you mean test?"),
        (("run=.", "dataset.prepare=x"), "dataset.prepare"),
        (("-m", "run=."), "-m"),
    ],
)
def test_mistakes_are_one_line_and_create_nothing(
    command: Command, workplace: Path, words: tuple[str, ...], said: str
) -> None:
    ended = command("evaluate", *words)
    assert ended.code == cli.MISTAKE
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize("split", ["test", "valid"])
def test_the_folder_of_a_run_and_one_with_other_files_are_refused(command: Command, run: Path, split: str) -> None:
    Path("notes").mkdir()
    Path("notes/mine.txt").write_text("mine")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for folder, held in ((run, "DONE"), ("notes", "mine.txt"), ("notes/mine.txt", "is a file")):
        ended = command("evaluate", f"run={run}", f"split={split}", f"hydra.run.dir={folder}")
        assert ended.code == cli.MISTAKE
        assert held in ended.err
        assert ended.err.count("\n") == 1
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert [path.name for path in Path("notes").iterdir()] == ["mine.txt"]
    assert command("evaluate", f"run={run}", "hydra.run.dir=again").code == cli.DONE
    assert command("evaluate", f"run={run}", f"split={split}", "hydra.run.dir=again").code == cli.DONE


def test_another_group_has_a_default_folder_of_its_own(command: Command, run: Path) -> None:
    for words in ((), ("dataset.group=C1",), ("dataset.group=C2",)):
        assert command("evaluate", f"run={run}", *words).code == cli.DONE
    assert len(list(Path("outputs").rglob("evaluation.json"))) == 3


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "result.json"])
def test_a_damaged_run_is_named(command: Command, run: Path, name: str) -> None:
    (run / name).write_bytes(b"\x00damaged")
    ended = command("evaluate", f"run={run}")
    assert ended.code == cli.MISTAKE
    assert name in ended.err


def test_hardware_is_that_of_the_run_or_what_is_given(
    command: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    for words in ((), ("hardware.threads=2",), ("hardware=cpu",)):
        assert command("evaluate", f"run={run}", *words, "hydra.run.dir=again").code == cli.DONE
    assert threads == [1, 2, 1]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ended = command("evaluate", f"run={run}", "hardware=cuda")
    assert ended.code == cli.MISTAKE
    assert "hardware=cuda: PyTorch finds no CUDA GPU" in ended.err


def test_a_missing_data_folder_is_named(command: Command, run: Path) -> None:
    next(Path("data/prepared").iterdir()).rename("elsewhere")
    ended = command("evaluate", f"run={run}")
    assert ended.code == cli.MISTAKE
    assert "dataset.prepared=DIR" in ended.err
    assert command("evaluate", f"run={run}", "dataset.prepared=elsewhere").code == cli.DONE


def test_damage_is_noticed_or_changes_nothing(command: Command, run: Path) -> None:
    names = ("config.yaml", "result.json", "model.safetensors", "DONE", "predictions.parquet")
    assert end_of("evaluate", f"run={run}", "hydra.run.dir=whole").code == cli.DONE
    whole = found_in("whole")
    for number in range(times(15)):
        rng = random.Random(number)
        path = run / rng.choice(names)
        content = path.read_bytes()
        path.write_bytes(changed_json(content, rng) if path.suffix == ".json" else damaged(content, rng))
        with count("run folders at evaluate"):
            ended = end_of("evaluate", f"run={run}", f"hydra.run.dir=again-{number}")
            if ended.code == cli.DONE:
                assert found_in(f"again-{number}") == whole
            else:
                assert_one_clear_line(ended, (number, path))
                assert not Path(f"again-{number}").exists()
        path.write_bytes(content)


def test_a_run_without_checksums_is_evaluated_or_refused(run: Path) -> None:
    (run / "DONE").write_bytes(b"")
    for number in range(times(8)):
        rng = random.Random(number)
        path = run / rng.choice(("config.yaml", "result.json", "model.safetensors"))
        content = path.read_bytes()
        path.write_bytes(changed_json(content, rng) if path.suffix == ".json" else damaged(content, rng))
        words = RUN if number % 4 == 0 else ("evaluate", f"run={run}", f"hydra.run.dir=out-{number}")
        with count("run folders at evaluate and train, without checksums"):
            ended = end_of(*words)
            if ended.code != cli.DONE:
                assert_one_clear_line(ended, (number, path))
        path.write_bytes(content)


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize(("mode", "allowed"), [("qr", True), ("robe", False)])
def test_tables_alone_are_quantised(command: Command, mode: str, allowed: bool) -> None:
    more = ("emb.ratio=0.9", "emb.min_rows=3")
    command("train", "dataset=criteo", "dataset.raw=train.txt", *TINY, f"emb={mode}", *more, "hydra.run.dir=run")
    ended = command("evaluate", "run=run", "bits=8", "hydra.run.dir=out")
    if not allowed:
        assert ended.code == cli.MISTAKE
        assert ended.err.startswith("mlet-bench: bits=8: emb=robe serves more than tables")
        return
    before = json.loads(Path("run/result.json").read_text())["collapse"]["embedding_bytes_inference"]
    after = json.loads(Path("out/evaluation.json").read_text())["embedding_bytes"]
    assert before / 4 < after < before / 2

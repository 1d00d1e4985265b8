"""result.json: what is written is what is read, key by key; files of earlier versions are read too."""

import json
from pathlib import Path
from typing import Any

from mlet_bench.runs.result import Result
from mlet_bench.runs.run_folder import RunFolder
from tests.ends import end_of


def pairs(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every key and value in order, from the top down."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [pair for key, inner in items for pair in pairs(inner, f"{path}.{key}")]
    return [(path, value)]


def test_what_is_read_is_what_was_written(finished_run: Path) -> None:
    written = json.loads((finished_run / "result.json").read_text())
    result = RunFolder(finished_run).result()
    assert pairs(result.as_json()) == pairs(written)
    assert list(written) == [name for name in Result.model_fields if name in written]
    RunFolder(finished_run).save(result)
    assert (finished_run / "result.json").read_text() == json.dumps(written, indent=1) + "\n"


def test_scores_are_all_that_evaluation_gives(finished_run: Path) -> None:
    """Those of result.json are typed, those of evaluation.json are as they come."""
    words = ("dataset.group=C2", "hydra.run.dir=again")
    assert end_of("evaluate", f"run={finished_run}", *words).code == 0
    evaluation = json.loads(Path("again/evaluation.json").read_text())
    values = json.loads((finished_run / "result.json").read_text())
    values["metrics"]["test"], values["buckets"] = evaluation["metrics"], evaluation["buckets"]
    assert pairs(Result.model_validate(values).as_json()) == pairs(values)


def test_files_of_earlier_versions_are_read(finished_run: Path) -> None:
    (finished_run / "DONE").write_text("")
    path = finished_run / "result.json"
    values = json.loads(path.read_text())
    for key in ("numeric", "categories", "vocabulary"):
        del values["dataset"][key]
    del values["inference"], values["train"]["planned_memory_bytes"]
    values["later"] = {"unknown": 1}
    path.write_text(json.dumps(values))
    result = RunFolder(finished_run).result()
    assert result.dataset.vocabulary is None
    assert "later" not in result.as_json()

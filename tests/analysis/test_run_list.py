"""The table of run folders: which runs it lists, in which order, and how keys filter them."""

import os
from pathlib import Path

import pytest

from mlet_bench import cli
from tests.analysis.runs import write_run
from tests.ends import end_of


@pytest.fixture(autouse=True)
def outputs(workplace: Path) -> None:
    """Three runs: an old finished one, a newer one of another model, the newest unfinished."""
    old = write_run(workplace / "outputs", name="old", test=0.7123)
    dcn = {"config": {"model": {"name": "dcn"}}, "result": {"model": "dcn"}}
    newer = write_run(workplace / "outputs/deep", "mlet", 4, 16, 2, name="newer", test=0.8, **dcn)
    newest = write_run(workplace / "outputs", "mlet", 8, 16, 3, name="newest", done=False)
    (newest / "result.json").unlink()
    for age, folder in enumerate((newest, newer, old)):
        for path in folder.iterdir():
            os.utime(path, (1_700_000_000 - 3600 * age,) * 2)


def listed(*words: str) -> list[str]:
    """The names of the listed folders, in order."""
    ended = end_of("runs", *words)
    assert (ended.code, ended.err) == (cli.DONE, "")
    return [
        name for line in ended.out.splitlines() for name in ("old", "newer", "newest") if line.rstrip().endswith(name)
    ]


def test_newest_first_with_state_and_auc() -> None:
    assert listed() == ["newest", "newer", "old"]
    lines = end_of("runs", "outputs").out.splitlines()
    old, newest = (next(line.split() for line in lines if line.rstrip().endswith(name)) for name in ("/old", "newest"))
    assert old == ["toy", "dlrm", "single", "d=4", "1", "finished", "0.7123", "2023-11-14", "20:13", "outputs/old"]
    assert newest[:6] == ["toy", "dlrm", "mlet", "d=8", "k=16", "3"]
    assert newest[6:] == ["unfinished", "–", "2023-11-14", "22:13", "outputs/newest"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["model=dcn", "emb=mlet"], ["newer"]),
        (["emb=mlet"], ["newest", "newer"]),
        (["seed=1"], ["old"]),
        (["emb.dim=4"], ["newer", "old"]),
        (["train.lr=1e-3", "emb.inner=null"], ["old"]),
        (["state=unfinished"], ["newest"]),
        (["outputs/deep"], ["newer"]),
    ],
)
def test_keys_filter(words: list[str], names: list[str]) -> None:
    assert listed(*words) == names


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["model=DCN"], "model=DCN: no such run; there are dcn, dlrm. Did you mean dcn?"),
        (["emb.dimm=4"], "emb.dimm=4: none of these runs has this key. Did you mean emb.dim?"),
        (["output"], "output: no such folder. Did you mean outputs?"),
        (["a", "b"], "runs: takes one folder, and key=value of the runs to show"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], line: str) -> None:
    ended = end_of("runs", *words)
    assert (ended.code, ended.err) == (cli.MISTAKE, f"mlet-bench: {line}\n")

"""Closed doors: nothing from a config, a file or a name is run, unpickled, or followed out of its folder."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlet_bench import cli
from mlet_bench.analysis.collect import collect
from mlet_bench.config.compose import Composer
from mlet_bench.data.prepared import Prepared, sealed
from mlet_bench.errors import UserError, one_line
from tests.analysis.runs import bucket, write_run
from tests.conftest import Ended, criteo_cells, prepare, write_criteo
from tests.counts import every

Command = Callable[..., Ended]
CALL = "os.mkdir"
EVIL = [
    f"+model._target_={CALL}",
    f"hydra.launcher._target_={CALL}",
    f"hydra.sweeper._target_={CALL}",
    f"+hydra.launcher.x._target_={CALL}",
    f"+hydra.launcher.x={{_target_:{CALL},path:opened}}",
    "+hydra.launcher._args_=[1]",
    f"++hydra.sweeper.params={{x:{{_target_:{CALL}}}}}",
    f"+hydra.callbacks.x._target_={CALL}",
    f"hydra.callbacks={{x:{{_target_:{CALL}}}}}",
    f'hydra.job_logging.root={{handlers:[x]}} +hydra.job_logging.handlers.x={{"()":{CALL}}}',
    f"hydra.hydra_logging={{version:1,root:{{}},handlers:{{x:{{class:{CALL}}}}}}}",
    "hydra/job_logging=default",
    "hydra/hydra_logging=colorlog",
    "hydra/launcher=nobody",
    "hydra/launcher=[basic]",
    "hydra/sweeper=optuna",
    "hydra.searchpath=[pkg://os]",
    "hydra.searchpath=[file://evil]",
    "+hydra.searchpath=[pkg://os]",
    "hydra.verbose=true",
    "hydra.mode=MULTIRUN",
    "hydra.job.chdir=true",
]


@pytest.mark.parametrize("sweep", [False, True])
@pytest.mark.parametrize("words", EVIL)
def test_no_override_names_code(command: Command, workplace: Path, words: str, sweep: bool) -> None:
    ended = command("train", *(["-m"] if sweep else []), "seed=1", *words.split())
    assert (ended.code, ended.out, ended.err.count("\n")) == (cli.MISTAKE, "", 1), ended
    assert list(workplace.iterdir()) == []


FILES = {
    "a launcher": f"# @package hydra.launcher\n_target_: {CALL}\n",
    "further down": "# @package hydra.launcher\n_target_: hydra._internal.core_plugins.basic_launcher.BasicLauncher\n"
    f"x: {{_target_: {CALL}, path: opened}}\n",
    "by interpolation": f"# @package _global_\nevil: {{_target_: {CALL}}}\nhydra: {{launcher: {{x: '${{evil}}'}}}}\n",
    "callbacks": f"# @package _global_\nhydra: {{callbacks: {{x: {{_target_: {CALL}}}}}}}\n",
    "logging": f"# @package _global_\nhydra: {{job_logging: {{root: {{}}, handlers: {{x: {{(): {CALL}}}}}}}}}\n",
    "hydra's logging": f"# @package _global_\nhydra: {{hydra_logging: {{root: {{}}, x: {{(): {CALL}}}}}}}\n",
    "a sweeper": f"# @package _global_\nhydra: {{sweeper: {{_target_: {CALL}}}}}\n",
    "parameters": "# @package _global_\nhydra: {sweeper: {params: {seed: '1,2'}}}\n",
    "a search path": "# @package _global_\nhydra: {searchpath: ['pkg://os']}\n",
    "a model": f"_target_: {CALL}\nname: dlrm\n",
    "python": "x: !!python/object/apply:os.mkdir [opened]\n",
    "no text": "\udcff\udcfe",
    "too deep": "x: " + "[" * 5_000,
}


@pytest.mark.parametrize("sweep", [False, True])
@pytest.mark.parametrize("what", every(2, FILES))
def test_no_file_of_a_config_folder_names_code(command: Command, workplace: Path, what: str, sweep: bool) -> None:
    group = {"a launcher": "hydra/launcher", "further down": "hydra/launcher", "a model": "model"}.get(
        what, "experiment"
    )
    path = workplace / "mine" / group / "evil.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(FILES[what], errors="surrogateescape")
    ended = command("train", *(["-m"] if sweep else []), "seed=1", "--config-dir", "mine", f"{group}=evil")
    assert (ended.code, ended.out, ended.err.count("\n")) == (cli.MISTAKE, "", 1), ended
    assert [path.name for path in workplace.iterdir()] == ["mine"]


def test_a_primary_config_names_no_search_path(workplace: Path) -> None:
    (workplace / "mine").mkdir()
    (workplace / "mine" / "config.yaml").write_text("hydra: {searchpath: ['pkg://os']}\n")
    with pytest.raises(UserError, match=r"hydra\.searchpath"):
        Composer("config", workplace / "mine")


class Opened:
    """Unpickling this makes a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(Path("opened").absolute()),)


@pytest.mark.parametrize(
    "name", every(2, ["model.safetensors", "result.json", "config.yaml", "predictions.parquet", "DONE"])
)
def test_a_pickle_in_a_run_is_not_opened(command: Command, workplace: Path, name: str) -> None:
    folder = write_run(workplace / "runs", "single")
    write_run(workplace / "runs", "mlet", inner=8)
    (folder / name).write_bytes(pickle.dumps(Opened()))
    assert command("report", "runs=runs").code == cli.DONE
    command("evaluate", f"run={folder}")
    assert not Path("opened").exists()


def test_a_config_is_read_back_without_resolvers(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "told")
    folder = write_run(workplace, config={"dataset": {"item_field": "${oc.env:SECRET}"}})
    (run,) = collect([folder]).runs
    assert run.config["dataset.item_field"] == "${oc.env:SECRET}"


@pytest.fixture
def prepared(workplace: Path) -> Path:
    return prepare("criteo", write_criteo(workplace / "train.txt", criteo_cells(60))).folder


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../../up"},
        {"name": "/tmp/up"},
        {"fingerprint": "../../../up"},
        {"fingerprint": "0" * 11 + "/"},
        {"files": {"../x": {"bytes": 1, "md5": ""}}},
        {"files": {"/etc/passwd": {"bytes": 1, "md5": ""}}},
        {"files": {"train/../../x": {"bytes": 1, "md5": ""}}},
    ],
)
def test_a_manifest_leads_nowhere_else(prepared: Path, change: dict[str, Any]) -> None:
    path = prepared / "manifest.json"
    path.write_text(json.dumps(sealed({**json.loads(path.read_text()), **change})))
    with pytest.raises(UserError, match=r"manifest\.json: (damaged|names a file outside)"):
        Prepared.open(prepared)


@pytest.mark.parametrize("what", ["a part", "its folder"])
def test_a_link_out_of_a_prepared_folder_is_refused(prepared: Path, workplace: Path, what: str) -> None:
    inside = prepared / "train" / "part-00000.parquet" if what == "a part" else prepared / "train"
    inside.rename(workplace / "outside")
    inside.symlink_to(workplace / "outside")
    with pytest.raises(UserError, match="leads outside"):
        Prepared.open(prepared)


def test_a_run_names_no_folder_by_its_fingerprint(command: Command, workplace: Path) -> None:
    folder = write_run(workplace, config={"fingerprint": "../../../../up"})
    (folder / "DONE").touch()
    ended = command("evaluate", f"run={folder}")
    assert (ended.code, ended.err.count("\n")) == (cli.MISTAKE, 1)
    assert "fingerprint" in ended.err


NAMES = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "{% raw %}", "[red]x[/red]",
         "\x1b[2J\x1b]0;x\x07", "a\rb\nc", "$x^2$", "&lt;b&gt;", ":smile:"]  # fmt: skip


@pytest.mark.parametrize("name", every(2, NAMES))
def test_names_from_data_stay_text(command: Command, workplace: Path, name: str) -> None:
    folder = workplace / "runs" / name.replace("/", "_").replace("\n", " ")
    for mode, inner in (("single", None), ("mlet", 8)):
        changes = {
            "dataset": {"name": name},
            "model": name,
            "buckets": [bucket(name, "0", 0.6), bucket("rarest", "0", 0.6)],
        }
        write_run(folder, mode, inner=inner, result=changes, config={"dataset": {"item_field": name}})
    broken = write_run(workplace / "runs", name="broken", done=False)
    (broken / "result.json").unlink()
    (broken / "train.log").write_text(f"2026-11-01 10:00:00,0 ERROR {name}\n")
    ended = command("report", "runs=runs")
    assert (ended.code, ended.err) == (cli.DONE, "")
    assert all(letter.isprintable() or letter == "\n" for letter in ended.out)
    page = Path("outputs/report/report.html").read_text(encoding="utf-8")
    for path in (Path("outputs/report/report.html"), *Path("outputs/report/figures").glob("*.svg")):
        text = path.read_text(encoding="utf-8")
        assert not any(tag in text for tag in ("<script", "<img", "onerror=alert(1)>", "\x1b", "\x07")), path
    if name == "{{ 7 * 7 }}":
        assert name in page
    if name == "[red]x[/red]":
        assert name in ended.out


def test_names_of_columns_do_not_steer_the_terminal(command: Command, workplace: Path) -> None:
    rows = "".join(f"{row % 2},[red]{row % 5},{row}\n" for row in range(60))
    (workplace / "rows.csv").write_text("label,\x1b[2J[bold]kind,\x07size\n" + rows)
    ended = command("prepare", "dataset=table", "dataset.raw=rows.csv")
    assert (ended.code, ended.err) == (cli.DONE, "")
    assert "\\x1b[2J[bold]kind" in ended.out
    assert all(letter.isprintable() or letter == "\n" for letter in ended.out)


def test_an_error_is_one_printable_line(command: Command, workplace: Path) -> None:
    ended = command("evaluate", "run='\x1b[2J\n[red]x'")
    assert ended.code == cli.MISTAKE
    assert ended.err == "mlet-bench: run=\\x1b[2J\\n[red]x: no such folder.\n"
    assert len(one_line("x" * 10**6)) < 3_100

"""Wrong keys, types, ranges and odd grammar at every command: one clear line, and nothing is created."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from mlet_bench import cli, models
from mlet_bench.commands import bench
from mlet_bench.commands import train as recipe
from mlet_bench.commands import tune as tune_command
from mlet_bench.commands.help_text import choices
from mlet_bench.config import (
    BenchCommand,
    EvaluateCommand,
    ExportCommand,
    PrepareCommand,
    ReportCommand,
    Section,
    TrainCommand,
    TuneCommand,
    convert_command,
)
from mlet_bench.config.compose import Composer
from mlet_bench.config.predict import PredictCommand
from mlet_bench.errors import UserError, one_line
from mlet_bench.runs.run_folder import RunFolder
from tests.conftest import criteo_cells, prepare, write_criteo
from tests.counts import count, times
from tests.ends import alarmed, assert_one_clear_line, end_of, everything_in
from tests.oddities import KEYS_OF_NOBODY, ODD, SCALARS, SWEPT

GROUPS = ("dataset", "model", "emb", "hardware", "train", "experiment")
CONFIGS = {
    "train": "config",
    **{name: name for name in ("prepare", "evaluate", "predict", "tune", "report", "bench")},
}
SCHEMAS: dict[str, type[Section]] = {
    "train": TrainCommand,
    "prepare": PrepareCommand,
    "evaluate": EvaluateCommand,
    "predict": PredictCommand,
    "export": ExportCommand,
    "tune": TuneCommand,
    "report": ReportCommand,
    "bench": BenchCommand,
}


class AcceptedError(Exception):
    """The command would begin its work now."""


def work(*given: Any, **named: Any) -> None:
    raise AcceptedError


@pytest.fixture
def ready(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder; commands stop where their work would begin. Rows lie beside it."""
    monkeypatch.chdir(workplace)
    beside = prepare("criteo", write_criteo(workplace / "raw.txt", criteo_cells(60))).folder
    beside.rename(workplace / "prep")
    for path in (workplace / "data").rglob("*"):
        assert path.name in ("prepared", "raw-md5.json")
    empty = workplace / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.setenv("MLET_BENCH_DATA", str(workplace / "nowhere"))
    monkeypatch.setattr(RunFolder, "opened", work)
    monkeypatch.setattr("mlet_bench.data.prepare", work)
    monkeypatch.setattr(bench, "peak_flops", work)
    monkeypatch.setattr(tune_command.Comparison, "run", work)
    monkeypatch.setattr("hydra._internal.hydra.Hydra.multirun", work)
    monkeypatch.setattr("torch.set_num_threads", lambda threads: None)
    return empty


def keys_of(command: str) -> list[str]:
    found: list[str] = []

    def walk(values: dict[str, Any], prefix: str) -> None:
        for key, value in values.items():
            found.append(prefix + key)
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")

    walk(Composer(CONFIGS[command]).one([]).values, "")
    return found


KEYS = {command: keys_of(command) for command in CONFIGS}


def mistyped(key: str) -> SearchStrategy[str]:
    places = st.integers(0, max(len(key) - 1, 0))
    return st.one_of(
        places.map(lambda at: key[:at] + key[at + 1 :]),
        places.map(lambda at: key[:at] + key[at : at + 1] + key[at:]),
        st.just(key.upper()),
        st.just(key + ".x"),
    )


def keys(command: str) -> SearchStrategy[str]:
    known = st.sampled_from(KEYS[command])
    groups = st.sampled_from(GROUPS)
    return st.one_of(known, known, known, known, groups, known.flatmap(mistyped), st.sampled_from(KEYS_OF_NOBODY))


ALL_CHOICES = sorted({choice for group in GROUPS for choice in choices(group)})
VALUES = st.one_of(
    st.sampled_from(SCALARS),
    st.sampled_from(SCALARS),
    st.sampled_from(ODD),
    st.sampled_from(ALL_CHOICES),
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=8),
    st.lists(st.sampled_from(SCALARS + ODD), max_size=3).map(lambda cells: f"[{','.join(cells)}]"),
)


@st.composite
def overrides(draw: st.DrawFn, command: str, values: SearchStrategy[str]) -> str:
    key, value = draw(keys(command)), draw(values)
    form = draw(st.sampled_from(["{k}={v}"] * 14 + ["+{k}={v}", "++{k}={v}", "~{k}", "~{k}={v}", "{k}", "{k}={v}={v}"]))
    return form.format(k=key, v=value)


@st.composite
def command_lines(draw: st.DrawFn, command: str) -> list[str]:
    words = draw(st.lists(overrides(command, VALUES), min_size=1, max_size=3))
    if command == "train" and draw(st.integers(0, 3)) == 0:
        return ["-m", *words, draw(overrides(command, st.sampled_from(SWEPT)))]
    if draw(st.integers(0, 5)) == 0:
        return [*words, "--cfg", "job"]
    return words


def quick(inputs: int) -> settings:
    return settings(
        max_examples=times(inputs), deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip


NEEDED = {"evaluate": ["run=../run"], "predict": ["run=../run", "dataset.raw=../raw.txt"]}
"""Without which a command does not convert its config."""
BASE = {"train": ["dataset.prepared=../prep"], "tune": ["dataset.prepared=../prep"]}


def assert_ends_well(ready: Path, command: str, words: list[str], kind: str) -> None:
    before = everything_in(ready.parent)
    with count(kind):
        try:
            ended = end_of(command, *BASE.get(command, []), *words)
        except AcceptedError:
            for path in sorted(set(everything_in(ready.parent)) - before, reverse=True):  # bench has made its folder
                assert command in ("bench", "tune") or "outputs" in path, path
                Path(path).rmdir() if Path(path).is_dir() else Path(path).unlink()
            return
        if ended.code != cli.DONE:
            assert_one_clear_line(ended, words)
        assert everything_in(ready.parent) == before, words


@pytest.mark.parametrize("command", CONFIGS)
def test_any_command_line_is_accepted_or_refused_in_one_line(ready: Path, command: str) -> None:
    inputs = {"train": 40, "tune": 20}.get(command, 15)

    @quick(inputs)
    @given(words=command_lines(command))
    def check(words: list[str]) -> None:
        assert_ends_well(ready, command, words, "command lines")

    check()


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 1, 2, 10**6, 2**31, 2**63, 2**64, 10**30, -(10**30)]),
    st.floats(),
    st.sampled_from([0.0, -0.0, 0.5, 1.0, 1e-300, 1e300, 1e-9]),
    st.text(max_size=6),
    st.sampled_from(ALL_CHOICES + SCALARS + ODD),
)
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner))
CHANGES = st.lists(st.tuples(st.integers(0, 999), st.sampled_from(["set"] * 8 + ["remove", "add", "rename"]), ANYTHING),
                   min_size=1, max_size=3)  # fmt: skip


def changed(values: dict[str, Any], key: str, how: str, value: Any) -> None:
    """Change the value at a dotted key, as far as it is still there."""
    *sections, last = key.split(".")
    inner: Any = values
    for section in sections:
        inner = inner.get(section) if isinstance(inner, dict) else None
    if isinstance(inner, dict):
        if how == "set":
            inner[last] = value
        elif how == "add":
            inner[str(value)] = value
        else:
            old = inner.pop(last, None)
            if how == "rename":
                inner[last + "x"] = old


def refusal(schema: type[Section], values: dict[str, Any]) -> str | None:
    """Messages about values that are refused before anything is created."""
    try:
        config = convert_command(schema, values)
        if isinstance(config, TrainCommand):
            recipe.check(config)
        elif isinstance(config, TuneCommand):
            for arm in tune_command.arms_of(config):
                recipe.check(tune_command.run_config(config, arm, tune_command.search_of(config).highest, config.seed))
        elif isinstance(config, BenchCommand):
            models.settings_of(config.model)
    except UserError as error:
        return one_line(str(error))  # as the command line says it
    return None


def assert_accepted_or_refused(command: str, values: dict[str, Any], because: Any) -> None:
    with count("values of a config"), alarmed():
        said = refusal(SCHEMAS[command], values)
        assert said is None or 5 < len(said) < 5_000, because


@pytest.mark.parametrize("command", CONFIGS)
def test_any_value_is_accepted_or_refused_in_one_line(ready: Path, command: str) -> None:
    composed = Composer(CONFIGS[command]).one(NEEDED.get(command, BASE.get(command, [])))

    @quick(150 if command == "train" else 60)
    @given(changes=CHANGES)
    def check(changes: list[tuple[int, str, Any]]) -> None:
        values = copy.deepcopy(composed.values)
        for place, how, value in changes:
            changed(values, KEYS[command][place % len(KEYS[command])], how, copy.deepcopy(value))
        assert_accepted_or_refused(command, values, changes)

    check()
    assert everything_in(ready) == set()


@pytest.mark.parametrize("command", CONFIGS)
def test_any_kind_of_value_at_every_key_is_accepted_or_refused(ready: Path, command: str) -> None:
    composed = Composer(CONFIGS[command]).one(NEEDED.get(command, BASE.get(command, [])))
    for key in KEYS[command]:
        for value in (True, "x", [[]], {"a": 1}):
            values = copy.deepcopy(composed.values)
            changed(values, key, "set", value)
            assert_accepted_or_refused(command, values, (key, value))


PATHS = [
    *("/dev/null", "\x00", "a\x00b", "a" * 300, "b/" * 3_000, "~nobody/x", "../raw.txt", "../raw.txt/x", "../empty"),
    *("\udcff", "../loop", "[A,B]", "../raw*", "../none*", "${oc.env:HOME}/none", " ", "..", "../prep/vocab"),
]


@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("train", "dataset.raw"),
        pytest.param("train", "dataset.prepared", marks=pytest.mark.more),
        ("train", "hydra.run.dir"),
        pytest.param("prepare", "dataset.raw", marks=pytest.mark.more),
        pytest.param("prepare", "dataset.vocab", marks=pytest.mark.more),
        pytest.param("prepare", "hydra.run.dir", marks=pytest.mark.more),
        ("evaluate", "run"),
        ("report", "runs"),
    ],
)
def test_any_path(ready: Path, command: str, key: str) -> None:
    (ready.parent / "loop").symlink_to("loop")
    data = [] if key in ("dataset.prepared", "run", "runs") else ["dataset=criteo", "dataset.raw=../raw.txt"]
    for path in PATHS:
        quoted = path if path.startswith(("[", "$")) else f"'{path}'"
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(BASE, "train", [])
            assert_ends_well(ready, command, [*data, f"{key}={quoted}"], "paths")

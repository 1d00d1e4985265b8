"""Generated raw files, a working folder of its own for every test, and the command line in this process."""

import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mlet_bench import cli, data
from mlet_bench.config import DATASETS, DatasetConfig, TrainConfig, convert
from mlet_bench.data.prepared import Prepared
from tests import counts as damaged_inputs
from tests.counts import pytest_sessionfinish, pytest_testnodedown  # noqa: F401  hooks

Cells = list[list[str]]
os.environ.pop("MLET_BENCH_DATA", None)  # of who runs the tests: data/ is that of each test
os.environ.setdefault("MLET_BENCH_FAULTS_SEED", str(random.SystemRandom().randrange(10**6)))  # one for all workers
CONF = Path(__file__).parents[1] / "conf"


def dataset_config(choice: str, raw: Path | None = None, **changes: object) -> DatasetConfig:
    """conf/dataset/<choice>.yaml with some keys changed."""
    values: dict[str, Any] = yaml.safe_load((CONF / "dataset" / f"{choice}.yaml").read_text())
    return convert(DATASETS[values["reader"]], {**values, "raw": raw, **changes}, "dataset")


def train_config(**changes: object) -> TrainConfig:
    """conf/train/default.yaml with some keys changed."""
    return convert(TrainConfig, {**yaml.safe_load((CONF / "train" / "default.yaml").read_text()), **changes})


def unheard(stage: str, done: int, of: int, rows: int) -> None:
    """Nobody watches the progress."""


def prepare(choice: str, raw: Path | None = None, **changes: object) -> Prepared:
    config = dataset_config(choice, raw, **changes)
    return data.prepared_for(config, best=lambda prepared, split: {}, progress=unheard)


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a test: new, empty, and where data/ and outputs/ go."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLET_BENCH_DATA", raising=False)
    # Tests share the machine: threads that wait for each other take many times as long as one thread.
    monkeypatch.setattr("mlet_bench.system.hardware.available_cores", lambda: 1)
    return tmp_path


@dataclass
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """mlet-bench with these words; its exit code and what it printed."""

    def run(*words: str) -> Ended:
        capsys.readouterr()
        code = cli.main(list(words))
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return run


def criteo_cells(rows: int, seed: int = 0) -> Cells:
    """Rows in Criteo's layout: label, 13 integers, 26 categories, some cells missing; C1 and I1 tell the label."""
    rng = np.random.default_rng(seed)
    cells = []
    for _ in range(rows):
        label = int(rng.random() < 0.4)
        numeric = [str(rng.integers(-2, 50)) if rng.random() > 0.2 else "" for _ in range(13)]
        numeric[0] = str(rng.integers(0, 5) + 6 * label)
        categories = [f"{min(rng.zipf(1.5), 60 + f):08x}" if rng.random() > 0.1 else "" for f in range(26)]
        categories[0] = f"{label * 16 + rng.integers(0, 12):08x}"
        cells.append([str(label), *numeric, *categories])
    return cells


def write_criteo(path: Path, cells: Cells, end: str = "\n") -> Path:
    path.write_bytes("".join("\t".join(row) + end for row in cells).encode())
    return path


@pytest.fixture
def criteo_file(workplace: Path) -> Path:
    return write_criteo(workplace / "train.txt", criteo_cells(420))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real rows; the test is skipped where nobody has it."""
    folder = Path(os.environ.get("MLET_BENCH_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real rows are not here: {folder} (set MLET_BENCH_SHARED_DATA)")
    return folder.resolve()


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Counts what was tried and what came of it; the sums are shown at the end of the tests."""

    def add(what: str, number: int = 1) -> None:
        request.node.user_properties.append((f"faults: {what}", number))

    return add


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for processes that write much; in memory where there is one, which saves half of the time."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < 1 << 28:
        yield tmp_path_factory.mktemp("room")
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        os.chmod(name, 0o755)
        yield Path(name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests of damaged inputs and of faults tried, and what came of it."""
    damaged_inputs.show(terminalreporter)
    counts: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, number in report.user_properties if report.when == "call" else ():
                if name.startswith("faults: "):
                    counts[name.removeprefix("faults: ")] += int(str(number))
    if counts:
        failed = len(terminalreporter.getreports("failed"))
        terminalreporter.write_line(
            f"faults (MLET_BENCH_FAULTS_SEED={os.environ['MLET_BENCH_FAULTS_SEED']}), {failed} tests failed:"
        )
        for name, number in counts.items():
            terminalreporter.write_line(f"  {number:>4} {name}")


TINY = ("model.bottom_mlp=[8]", "model.top_mlp=[8]", "train.batch_size=64", "emb.dim=4", "hardware.threads=1")
"""Overrides that make a run a matter of half a second."""
RUN = ("train", "dataset=criteo", "dataset.raw=train.txt", *TINY, "emb=mlet", "emb.inner=8", "hydra.run.dir=run")
"""The run of `finished_run`."""


@pytest.fixture(scope="session")
def finished_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder in which RUN was done, not to be changed."""
    place = tmp_path_factory.mktemp("finished")
    write_criteo(place / "train.txt", criteo_cells(420))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert cli.main([*RUN]) == cli.DONE
    return place


@pytest.fixture
def finished_run(workplace: Path, finished_place: Path) -> Path:
    """The folder of RUN, in a copy of its working folder."""
    shutil.copytree(finished_place, workplace, dirs_exist_ok=True)
    return Path("run")

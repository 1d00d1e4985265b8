"""The commands of the documentation work as they stand."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from mlet_bench import cli
from mlet_bench.commands.help_text import choices
from tests.conftest import Ended, criteo_cells, write_criteo

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "data" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
SHORT = ["train.batch_size=500", "train.epochs=1"]
SHORT_DLRM = ["model.bottom_mlp=[8]", "model.top_mlp=[8]"]


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split(" #")[0].strip() for line in lines if line.startswith("mlet-bench ")]


CASES = [(page, line) for page in PAGES for line in dict.fromkeys(commands(page))]


@pytest.mark.parametrize(("page", "line"), CASES, ids=[f"{page.name}: {line}" for page, line in CASES])
def test_command_of_the_documentation_works(
    workplace: Path, run_command: Callable[..., Ended], page: Path, line: str
) -> None:
    write_criteo(workplace / "train.txt", criteo_cells(420))
    words = shlex.split(line)[1:]
    if words[0] in ("train", "tune") and "--cfg" not in words:
        words += SHORT
        words += SHORT_DLRM if all(word == "model=dlrm" or not word.startswith("model=") for word in words) else []
    if words[0] in ("train", "prepare", "tune") and not any(
        word.startswith(("dataset=", "experiment=criteo")) and word != "dataset=synthetic" for word in words
    ):
        words.append("dataset.rows=2400")
    words = [word.replace("=1,2,3,4,5", "=1,2").replace("=[1,2,3,4,5]", "=[1,2]") for word in words]
    ended = run_command(*words)
    assert ended.code == cli.DONE, ended.err


@pytest.fixture
def run_command(command: Callable[..., Ended]) -> Callable[..., Ended]:
    return command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_readme_begins_with_the_two_commands() -> None:
    first = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    assert "make demo" in first
    assert "make test" in first


def test_every_model_is_described() -> None:
    text = (ROOT / "docs" / "models.md").read_text()
    for name in choices("model"):
        assert f"`{name}`" in text


def test_every_data_set_is_described() -> None:
    text = (ROOT / "data" / "README.md").read_text()
    for name in choices("dataset"):
        assert f"| `{name}` |" in text


LIBRARY = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("block", [block for block in LIBRARY if "load_model(" not in block])
def test_example_of_the_library_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block, "docs/library.md", "exec"), {"__name__": "example"})
    change = re.search(r"largest change of a logit: (\S+)", capsys.readouterr().out)
    assert change is None or float(change[1]) < 1e-6

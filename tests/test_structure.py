"""Habits of the code base that a test can keep."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "mlet_bench"
FILES = sorted(SOURCE.rglob("*.py"))

FLOW = (
    *("errors", "system", "config", "data", "embedding", "models", "training", "evaluation", "runs", "analysis"),
    *("serving", "library", "report", "commands", "cli"),
)
"""Data flows one way: a package imports only what stands before it."""


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_follow_the_flow(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if own.startswith("__"):
        return
    for name in imports(path):
        package = re.match(r"mlet_bench\.(\w+)", name)
        if package and package[1] in FLOW:
            assert FLOW.index(package[1]) <= FLOW.index(own), f"{own} imports {name}"


@pytest.mark.parametrize("name", ["train", "sweep", "tune", "evaluate", "export", "predict", "prepare"])
def test_recipes_know_no_screen(name: str) -> None:
    assert not {word for word in imports(SOURCE / "commands" / f"{name}.py") if word.startswith("mlet_bench.report")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_door_is_open(path: Path) -> None:
    assert not imports(path) & {"pickle", "marshal", "shelve", "dill", "cloudpickle", "importlib", "subprocess"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in {
                "eval",
                "exec",
                "compile",
                "__import__",
                "torch.load",
                "torch.save",
                "np.load",
                "yaml.load",
            }
            if name in {"hydra.utils.instantiate", "instantiate"}:
                pytest.fail(f"{path.name} instantiates from config")


@pytest.mark.parametrize("path", sorted((SOURCE / "models").glob("*.py")), ids=lambda path: path.name)
def test_models_never_ask_how_an_embedding_is_made(path: Path) -> None:
    text = path.read_text()
    assert "mlet" not in re.sub(r"mlet_bench", "", text).lower()
    assert "optim" not in text
    assert "cuda" not in text


def test_files_have_one_subject() -> None:
    long = [f"{path.name}: {lines}" for path in FILES if (lines := path.read_text().count("\n")) > 300]
    assert not long


def test_heavy_modules_are_imported_only_when_needed() -> None:
    light = set()
    for name in ("cli", "commands/arguments", "commands/help_text", "system/signals", "errors", "__init__"):
        tree = ast.parse((SOURCE / f"{name}.py").read_text())
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                light |= {getattr(node, "module", None) or node.names[0].name}
    assert not {word.split(".")[0] for word in light} & {
        "torch",
        "hydra",
        "omegaconf",
        "pyarrow",
        "pydantic",
        "rich",
        "numpy",
    }

"""The wheel carries its configs and works from any folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

wheel = pytest.importorskip("hatchling.builders.wheel", reason="hatchling builds the wheel; it is in the dev extra")
ROOT = Path(__file__).parents[1]


def test_wheel_trains_from_any_folder(workplace: Path) -> None:
    (built,) = wheel.WheelBuilder(str(ROOT)).build(directory=str(workplace / "dist"), versions=["standard"])
    zipfile.ZipFile(built).extractall(workplace / "site")
    assert (workplace / "site" / "mlet_bench" / "conf" / "config.yaml").is_file()
    assert (workplace / "site" / "mlet_bench" / "report" / "page.html.j2").is_file()
    elsewhere = workplace / "elsewhere"
    elsewhere.mkdir()
    few = ("dataset.rows=1200", "train.epochs=1", "hardware.threads=1")
    command = [sys.executable, "-m", "mlet_bench", "train", "experiment=quick", *few, "emb=mlet"]
    environment = {**os.environ, "PYTHONPATH": str(workplace / "site")}
    ended = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1].startswith("run folder: outputs/synthetic/dlrm/mlet/seed1-")
    assert len(list(elsewhere.glob("outputs/synthetic/dlrm/mlet/*/DONE"))) == 1

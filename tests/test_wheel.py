"""The wheel carries its configs and works from any folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling builds the wheel; it is in the dev extra")
ROOT = Path(__file__).parents[1]


def test_wheel_trains_from_any_folder(workplace: Path) -> None:
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        "dist",
    ]
    subprocess.run([*build, str(ROOT)], check=True, cwd=workplace)
    (wheel,) = (workplace / "dist").glob("mlet_bench-*.whl")
    zipfile.ZipFile(wheel).extractall(workplace / "site")
    assert (workplace / "site" / "mlet_bench" / "conf" / "config.yaml").is_file()
    assert (workplace / "site" / "mlet_bench" / "report" / "page.html.j2").is_file()
    elsewhere = workplace / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-m", "mlet_bench", "train", "experiment=quick", "dataset.rows=1200", "emb=mlet"]
    environment = {**os.environ, "PYTHONPATH": str(workplace / "site")}
    ended = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1].startswith("run folder: outputs/synthetic/dlrm/mlet/seed1-")
    assert len(list(elsewhere.glob("outputs/synthetic/dlrm/mlet/*/DONE"))) == 1

"""The page in headless Chromium: it asks no network for anything, and nothing of it goes wrong."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mlet_bench import cli
from tests.analysis.runs import write_grid
from tests.conftest import Ended

BROWSER = os.environ.get("MLET_BENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
OWN = ("google.com", "googleapis.com", "gvt1.com", "chromium.org")
"""Whom the browser calls by itself."""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here; MLET_BENCH_CHROMIUM names one")


def opened(page: Path, width: int, folder: Path) -> tuple[list[str], set[str], bytes]:
    """What the console says, the hosts that were asked for anything, and the picture."""
    log, picture = folder / f"net{width}.json", folder / f"page{width}.png"
    done = subprocess.run(
        [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}",
         f"--window-size={width},2000", f"--log-net-log={log}", f"--screenshot={picture}", page.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert picture.exists(), done.stderr[-2000:]
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    hosts = set(re.findall(r'"url":"(?:https?|wss?)://([^/":]+)', log.read_text(errors="replace")))
    return said, {host for host in hosts if not host.endswith(OWN)}, picture.read_bytes()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_quiet_at_desktop_and_phone_width(
    tmp_path: Path, command: Callable[..., Ended], width: int
) -> None:
    write_grid(tmp_path / "runs")
    assert command("report", f"runs={tmp_path / 'runs'}", f"hydra.run.dir={tmp_path / 'out'}").code == cli.DONE
    said, hosts, picture = opened(tmp_path / "out" / "report.html", width, tmp_path)
    assert said == []
    assert hosts == set()
    assert int.from_bytes(picture[16:20], "big") == width  # of PNG's header
    assert len(picture) > 20_000


def test_a_loud_page_is_heard(tmp_path: Path) -> None:
    address = json.dumps("http://127.0.0.1:9/x.png")
    page = tmp_path / "loud.html"
    page.write_text(f"<!DOCTYPE html><img src={address}><script>console.error('oh')</script>")
    said, hosts, _ = opened(page, 800, tmp_path)
    assert any("oh" in line for line in said)
    assert hosts == {"127.0.0.1"}

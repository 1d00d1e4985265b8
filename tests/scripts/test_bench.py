"""scripts/bench.py: whether goals hold, and that it finds the first step of a training."""

import runpy
from pathlib import Path

import pytest

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "bench.py"))


def test_goals_hold_or_do_not() -> None:
    goals = SCRIPT["Goals"]()
    goals.add("a share", 0.8, 0.78, least=True, percent=True)
    goals.add("no goal", 3.0, None)
    assert goals.all_hold
    goals.add("a ratio", 1.2, 1.15)
    assert not goals.all_hold
    assert list(goals.table.columns[3].cells) == ["yes", "", "no"]


@pytest.mark.more
def test_first_step_is_timed() -> None:
    assert 0.5 < SCRIPT["seconds_to_first_step"]("dataset.rows=2000") < 300

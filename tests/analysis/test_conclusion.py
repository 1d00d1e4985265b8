"""The concluding sentence of a report, and where its runs come from."""

import os
from pathlib import Path
from typing import Any

import pytest

from mlet_bench.analysis.collect import collect
from mlet_bench.analysis.conclusion import Origin, conclusion
from tests.analysis.runs import studies, write_run
from tests.analysis.test_tuned_alike import HIGH, OWN, tuned_single_and_mlet, write_side


def test_gains_are_counted_by_their_verdicts(tmp_path: Path) -> None:
    write_side(tmp_path, "single", None, OWN, 0.70)
    for inner, test in ((16, 0.71), (32, 0.69), (64, 0.70)):
        write_side(tmp_path, "mlet", inner, OWN, test)
    write_side(tmp_path, "mlet_frozen", 64, OWN, 0.9)  # a control does not count
    assert conclusion(studies(tmp_path)) == (
        "MLET against the standard embedding (emb=single) with the same d, 3 comparisons: 1 higher, 1 lower, "
        "1 undecided; -0.0100 to +0.0100 test AUC. Nothing was tuned, so learning rates alone may explain a gain."
    )


def test_what_was_tuned_gets_a_conclusion_without_reservation(tmp_path: Path) -> None:
    tuned_single_and_mlet(tmp_path)
    assert conclusion(studies(tmp_path)) == (
        "MLET against the standard embedding (emb=single) with the same d, 5 pairs of runs: higher, +0.0050 test AUC."
    )


def test_few_seeds_or_no_pair_conclude_nothing(tmp_path: Path) -> None:
    write_side(tmp_path, "single", None, OWN, 0.70, (1, 2))
    assert "No conclusion" in conclusion(studies(tmp_path))
    write_side(tmp_path, "mlet", 16, HIGH, 0.80, (1, 2))
    assert "No conclusion" in conclusion(studies(tmp_path))
    write_side(tmp_path, "mlet", 16, OWN, 0.80, (1, 2))
    assert "undecided" in conclusion(studies(tmp_path))
    assert "A verdict needs 5 seeds." in conclusion(studies(tmp_path))


@pytest.mark.parametrize(
    ("logs", "commands"),
    [
        (["INFO mlet-bench train a=1", "INFO mlet-bench train a=1"], ["mlet-bench train a=1"]),
        (["INFO mlet-bench train a=1", "INFO step 1"], ["mlet-bench train a=1"]),
        (["INFO step 1", None], []),
    ],
)
def test_dates_commands_and_versions_are_those_of_the_runs(
    tmp_path: Path, logs: list[Any], commands: list[str]
) -> None:
    for seed, (line, day) in enumerate(zip(logs, (86_400, 10 * 86_400), strict=True), 1):
        folder = write_run(tmp_path, seed=seed)
        os.utime(folder / "DONE", (day, day))
        if line:
            (folder / "train.log").write_text(f"1970-01-02 00:00:00,000 {line}\n")
    origin = Origin.of(collect([tmp_path]).runs)
    assert origin == ("1970-01-02 to 1970-01-11", "torch 2.13.0", commands)

"""What a newcomer does in the order of the README: single runs, a sweep, a comparison, and a report on all of it."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from mlet_bench import cli
from tests.conftest import TINY, Ended

DATA = ("dataset=criteo", "dataset.raw=train.txt", *TINY)


def verdicts(folder: str) -> dict[tuple[str, ...], tuple[str, str]]:
    """Gain in AUC and verdict of every chosen setting that a report says one of, by tuning, mode, d and k."""
    with (Path(folder) / "tables" / "quality.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        (row["tuning"], row["mode"], row["d"], row["k"]): (row["auc_gain_mean"], row["auc_gain_verdict"])
        for row in rows
        if row["auc_gain_mean"] and row["chosen"] == "True"
    }


@pytest.mark.more
@pytest.mark.usefixtures("criteo_file")
def test_a_comparisons_verdicts_are_the_same_among_other_runs(command: Callable[..., Ended]) -> None:
    """The untuned runs of before, at other rates, change none of them and get none."""
    assert command("train", *DATA, "emb=mlet", "emb.inner=8").code == cli.DONE
    assert command("train", *DATA, "emb=single", "emb.lr=0.1").code == cli.DONE
    assert command("train", "-m", *DATA, "emb=mlet", "emb.inner=4,8", "seed=1,2").code == cli.DONE
    words = ("trials=2", "seeds=[1,2,3,4,5]", "search.lr=null", "search.emb_lr=[0.3,30]", "arms.inner=[8]")
    assert command("tune", *DATA, *words, "hydra.run.dir=tuned").code == cli.DONE
    assert command("report", "runs=tuned", "hydra.run.dir=alone").code == cli.DONE
    assert command("report", "runs=[outputs,tuned]", "hydra.run.dir=among").code == cli.DONE
    alone, among = verdicts("alone"), verdicts("among")
    assert alone
    assert {key: among.get(key) for key in alone} == alone
    tuned_otherwise = [key for key in among if key[0] == "not tuned alike"]
    assert not tuned_otherwise

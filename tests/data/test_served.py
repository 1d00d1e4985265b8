"""A folder that an earlier call prepared, served to a call that asks for the same rows in another way."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mlet_bench import cli
from mlet_bench.errors import UserError
from tests.conftest import Ended, criteo_cells, prepare, write_criteo
from tests.data import reference


def test_share_of_bad_rows_holds_for_an_earlier_folder_too(workplace: Path) -> None:
    cells = criteo_cells(200)
    for at in (30, 60, 90, 120):
        cells[at] = ["x"]
    raw = write_criteo(workplace / "train.txt", cells)
    for share in (1.0, 0.3):  # what is thinned out was read all the same
        made = prepare("criteo", raw, bad_rows="skip", max_bad_share=0.02, train_share=share)
        before = reference.contents(made.folder)
        assert prepare("criteo", raw, bad_rows="skip", max_bad_share=0.02, train_share=share).folder == made.folder
        with pytest.raises(
            UserError, match=r"4 bad rows of 200 read, more than dataset.max_bad_share=0.019; they stand"
        ):
            prepare("criteo", raw, bad_rows="skip", max_bad_share=0.019, train_share=share)
        assert reference.contents(made.folder) == before


def test_guess_is_told_to_those_who_let_guess_alone(command: Callable[..., Ended], workplace: Path) -> None:
    lines = ["label,kind,size", *(f"{i % 2},{'abc'[i % 3]},{i}.5" for i in range(60))]
    reference.write(workplace / "a.csv", "\n".join(lines).encode())
    words = ["prepare", "dataset=table", "dataset.raw=a.csv"]
    named = ["dataset.label=label", "dataset.numeric=[size]", "dataset.categorical=[kind]"]
    said = [command(*words, *more) for more in ([], named, [])]
    assert [ended.code for ended in said] == [cli.DONE] * 3
    assert ["note: columns were guessed" in ended.out for ended in said] == [True, False, True]
    assert len({ended.out.splitlines()[-1] for ended in said}) == 1  # the same folder


def test_shares_of_missing_cells_in_a_thinned_set(command: Callable[..., Ended], workplace: Path) -> None:
    cells = criteo_cells(400)
    for row in cells:
        row[1] = ""  # I1 is always missing
    write_criteo(workplace / "train.txt", cells)
    ended = command("prepare", "dataset=criteo", "dataset.raw=train.txt", "dataset.train_share=0.1")
    assert re.search(r"I1 +400 \(100\.0 %\)", ended.out)
    shares = [float(share) for share in re.findall(r"\((\d+\.\d) %\)", ended.out)]
    assert len(shares) > 20
    assert max(shares) == 100
    left_out = 343 - int(re.findall(r"train +(\d+) ", ended.out)[0])
    assert f"{left_out} training rows were left out by dataset.train_share=0.1" in ended.out
    assert "missing cells are counted in all 400 rows" in ended.out

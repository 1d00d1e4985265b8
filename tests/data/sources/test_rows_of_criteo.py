"""Criteo's text, of one file or of several days, against the plain reference."""

import os
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlet_bench.data.sources.criteo import CATEGORICAL, NUMERIC
from tests.data import reference
from tests.data.reference import Row

CELL = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), max_size=3)
INTEGER = st.one_of(st.just(""), st.integers(-3, 40).map(str), st.integers(-(2**63), 2**63 - 1).map(str))
LABELS = st.sampled_from(["01", "0001", "0", "1"])
OPTIONS = st.fixed_dictionaries(
    {
        "min_count": st.sampled_from([1, 1, 2, 3]),
        "numeric_as": st.sampled_from(["log1p", "bucket", "standard", "as_is"]),
        "train_share": st.sampled_from([1.0, 1.0, 0.6]),
        "split": st.sampled_from(["time", "time", "random"]),
        "seed": st.integers(0, 3),
    }
)
EXAMPLES = int(os.environ.get("MLET_BENCH_EXAMPLES", "8"))
"""Of every property; `make test-more` asks for many."""
quick = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def lines(rng: random.Random, rows: int, labels: str, cells: list[str], integers: list[str]) -> list[str]:
    """Rows whose categories are frequent, rare, missing and odd."""
    pool = [*("a", "b") * 3, "", *cells]
    return [
        "\t".join([rng.choice(labels), *rng.choices(["", "1", "17", *integers], k=13), *rng.choices(pool, k=26)])
        for _ in range(rows)
    ]


def rows_of(path: Path, key: object = None) -> list[Row]:
    return [
        Row(int(cells[0]), [int(cell) if cell else None for cell in cells[1:14]], cells[14:], key)
        for cells in reference.read_cells(path, "\t")
    ]


def splits_of(rows: list[Row], days: int, options: dict[str, object]) -> list[str | None]:
    if options["split"] == "random":
        found = reference.stratified(rows, seed=options["seed"])
    elif days == 1:
        found = reference.sevenths(rows)
    else:
        found = reference.last_day(rows, seed=options["seed"])
    return reference.thinned(found, options["train_share"], options["seed"])


@quick
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(14, 70),
    labels=LABELS,
    cells=st.lists(CELL, max_size=8),
    integers=st.lists(INTEGER, max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    last_end=st.booleans(),
    suffix=st.sampled_from(["txt", "txt.gz"]),
    size=st.sampled_from(reference.TINY_SIZES),
    options=OPTIONS,
)
@example(  # more than a float64 can tell apart
    seed=0, rows=20, labels="01", cells=[], integers=["9007199254740993"] * 9, end="\n", last_end=True, suffix="txt",
    size={}, options={"min_count": 1, "numeric_as": "bucket", "train_share": 1.0, "split": "time", "seed": 0},
)  # fmt: skip
def test_one_file(
    workplace: Path, seed: int, rows: int, labels: str, cells: list[str], integers: list[str], end: str,
    last_end: bool, suffix: str, size: dict[str, int], options: dict[str, object],
) -> None:  # fmt: skip
    place = Path(tempfile.mkdtemp(dir=workplace))
    content = end.join(lines(random.Random(seed), rows, labels, cells, integers)) + end * last_end
    raw = reference.write(place / f"train.{suffix}", content.encode())
    found = rows_of(raw)
    assert len(found) == rows
    splits = splits_of(found, 1, options)
    reference.assert_prepares_as_reference(place, "criteo", raw, found, splits, NUMERIC, CATEGORICAL, size, **options)


@quick
@given(
    seed=st.integers(0, 2**32),
    days=st.lists(st.integers(3, 20), min_size=1, max_size=4),
    cells=st.lists(CELL, max_size=4),
    packed=st.booleans(),
    size=st.sampled_from(reference.TINY_SIZES),
    options=OPTIONS,
)
def test_days(
    workplace: Path, seed: int, days: list[int], cells: list[str], packed: bool, size: dict[str, int],
    options: dict[str, object],
) -> None:  # fmt: skip
    place, rng, found = Path(tempfile.mkdtemp(dir=workplace)), random.Random(seed), []
    for day, rows in zip((0, 2, 10, 101), days, strict=False):
        content = "\n".join(lines(rng, rows, "0001", cells, [])) + "\n"
        found += rows_of(reference.write(place / f"day_{day}{'.gz' * packed}", content.encode()), day)
    if len(days) == 1 and options["split"] == "time" and len(found) < 14:
        return
    splits = splits_of(found, len(days), options)
    raw = place / "day_*"
    reference.assert_prepares_as_reference(place, "criteo", raw, found, splits, NUMERIC, CATEGORICAL, size, **options)


@pytest.mark.parametrize("size", reference.TINY_SIZES[1:])
def test_bytes_do_not_depend_on_how_much_is_read_at_a_time(workplace: Path, size: dict[str, int]) -> None:
    """Numbers are standardised by moments that are gathered chunk by chunk, so those are another matter."""
    rng = random.Random(5)
    content = "\n".join(lines(rng, 200, "01", [f"{i:x}" for i in range(60)], [str(i) for i in range(30)])).encode()
    raw = reference.write(workplace / "train.txt", content)
    whole = reference.prepare_in(workplace / "one", "criteo", raw, min_count=2)
    kept = {name: size[name] for name in size if name not in ("part_rows", "row_group_rows")}
    with reference.sizes(**kept):
        pieces = reference.prepare_in(workplace / "two", "criteo", raw, min_count=2)
    assert reference.contents(whole.folder) == reference.contents(pieces.folder)


@pytest.mark.parametrize("size", [reference.TINY_SIZES[0], {"chunk_bytes": 9_000, "part_rows": 100}])
@pytest.mark.parametrize("seed", [0, 1])
def test_random_split_gives_exact_shares_of_every_hundred_rows_of_a_class(
    workplace: Path, seed: int, size: dict[str, int]
) -> None:
    content = "\n".join(lines(random.Random(8), 700, "001", [], [])).encode()
    raw = reference.write(workplace / "train.txt", content)
    found = rows_of(raw)
    splits = reference.stratified(found, (0.7, 0.2, 0.1), seed)
    reference.assert_prepares_as_reference(
        workplace / "data", "criteo", raw, found, splits, NUMERIC, CATEGORICAL, size, split="random", seed=seed,
        shares=[0.7, 0.2, 0.1],
    )  # fmt: skip
    for label in (0, 1):
        of_class = [split for row, split in zip(found, splits, strict=True) if row.label == label]
        assert [of_class[:100].count(split) for split in reference.SPLITS] == [70, 20, 10]
        assert [of_class[100:200].count(split) for split in reference.SPLITS] == [70, 20, 10]
        assert of_class[:100] != of_class[100:200]

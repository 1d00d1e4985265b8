"""The tables that people read, the same in the terminal and on the page: words and digits ready to print."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlet_bench.analysis import formatting
from mlet_bench.analysis.arms import Cell
from mlet_bench.analysis.claims import Claim
from mlet_bench.analysis.collect import LeftOut
from mlet_bench.analysis.formatting import NONE
from mlet_bench.analysis.study import BucketResult, Quality, Study
from mlet_bench.evaluation.buckets import RAREST


@dataclass(frozen=True)
class View:
    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    """How many columns, from the left, hold words; the others hold numbers."""
    optional: tuple[str, ...] = ()
    """Columns to drop, first ones first, where there is no room for all."""


def quality(study: Study) -> View:
    """The chosen arms."""
    chosen = [one for one in study.qualities if one.chosen]
    settings = len({one.arm.setting for one in chosen}) > 1
    grouped = any(one.gauc.n for one in chosen)
    return View(
        "Test AUC and logloss",
        "Mean ± standard deviation over seeds. Gain in AUC, change of logloss: minus the single table of the same d, "
        "paired by seed, ± half of the 95 % interval (Student's t); verdict and p are of the gain in AUC. DeLong: "
        "pairs of runs whose difference the test rows alone would not make (p < 0.05). Tried: settings of learning "
        "rates and L2, of which the one with the best mean validation AUC is shown."
        + " GAUC: AUC within the groups of dataset.group, weighted by their rows." * grouped,
        ("embedding", "d", "k", "seeds", "AUC", *(["GAUC"] if grouped else []), "logloss", "gain in AUC", "verdict",
         "p", "change of logloss", "DeLong", "tried", *(["setting"] if settings else [])),
        tuple(_quality_row(one, grouped)[: None if settings else -1] for one in chosen),
        optional=("setting", "change of logloss", "DeLong", "tried", "p", "seeds", "logloss", "GAUC"),
    )  # fmt: skip


def pairs(study: Study) -> View | None:
    """Every pair of runs with the same seed, by the test rows alone."""
    rows = [
        (
            one.arm.cell.label,
            str(seed),
            formatting.signed(found.difference),
            formatting.span(found.ci95),
            formatting.p_value(found.p),
        )
        for one in study.qualities
        for seed, found in one.by_rows
    ]  # fmt: skip
    if not rows:
        return None
    return View(
        "Run against run by paired DeLong",
        "Test AUC of a run minus that of the single table of the same d and seed; interval and p speak of the test "
        "rows alone, not of other seeds.",
        ("embedding", "seed", "gain in AUC", "95 % interval", "p"),
        tuple(rows),
    )


def every_setting(study: Study) -> View | None:
    """All arms, where a cell has more than one."""
    if all(one.tried == 1 for one in study.qualities):
        return None
    return View(
        "Every setting that was tried",
        "The setting with the best mean validation AUC stands for its embedding in the other tables.",
        ("embedding", "setting", "chosen", "seeds", "validation AUC", "AUC", "logloss"),
        tuple(
            (one.arm.cell.label, one.arm.setting.label, "chosen" if one.chosen else "", str(len(one.arm.runs)),
             formatting.level(one.valid), formatting.level(one.auc), formatting.level(one.logloss))
            for one in study.qualities
        ),
        words=3,
    )  # fmt: skip


def runs(study: Study) -> View:
    """Every run that counts."""
    rows = []
    for one in study.qualities:
        for seed, run in sorted(one.arm.runs.items()):
            valid, test = run.result.metrics.valid, run.result.metrics.test
            interval = "–" if test.auc_ci95 is None else "{:.4f} to {:.4f}".format(*test.auc_ci95)
            rows.append(
                (one.arm.cell.label, one.arm.setting.label, str(run.path), str(seed), formatting.plain(valid.auc),
                 formatting.plain(test.auc), interval, formatting.plain(test.logloss))
            )  # fmt: skip
    return View(
        "Every run",
        "The interval is DeLong's, of the test rows alone.",
        ("embedding", "setting", "folder", "seed", "validation AUC", "AUC", "95 % interval", "logloss"),
        tuple(rows),
        words=3,
    )


def gains(study: Study, field: str, dim: int | None) -> View | None:
    """Gain in AUC over the single table of the same d by bucket of a field, a row a bucket; None without any."""
    entries = [one for one in _with_gain(study, field) if one.cell.dim == dim]
    if not entries:
        return None
    cells = list(dict.fromkeys(one.cell for one in entries))
    found = {(one.bucket.bucket, one.cell): one for one in entries}
    rows = [
        (_bucket_name(name), f"{count:,}", *(_gain_mark(found.get((name, cell))) for cell in cells))
        for name, count in _buckets(entries).items()
    ]
    columns = ("training count", "test rows", *(cell.label for cell in cells))
    less = [cell.label for cell in sorted(cells, key=lambda cell: not cell.is_control)]
    return View(_gains_title(field), _GAINS_NOTE, columns, tuple(rows), optional=tuple(less[:-1]))


def gains_of_all(study: Study, field: str) -> View | None:
    """The same for every d, a row an arm."""
    entries = _with_gain(study, field)
    if not entries:
        return None
    buckets = _buckets(entries)
    found = {(one.bucket.bucket, one.cell): one for one in entries}
    rows = [
        (cell.label, *(_gain_mark(found.get((name, cell))) for name in buckets))
        for cell in dict.fromkeys(one.cell for one in entries)
    ]
    columns = ("embedding", *(f"{_bucket_name(name)} ({count:,} rows)" for name, count in buckets.items()))
    return View(_gains_title(field), _GAINS_NOTE, columns, tuple(rows))


_GAINS_NOTE = (
    "Over the single table of the same d, paired by seed, ± half of the 95 % interval. "
    "▲ higher, ▼ lower, no mark: undecided or one seed."
)


def _gains_title(field: str) -> str:
    what = "a row's rarest category" if field == RAREST else f"field {field}"
    return f"Gain in AUC by training count: {what}"


def _with_gain(study: Study, field: str) -> list[BucketResult]:
    return [one for one in study.buckets if one.bucket.field == field and one.auc_gain is not None]


def _buckets(entries: Sequence[BucketResult]) -> dict[str, int]:
    """Test rows of each bucket, rarest first."""
    ordered = sorted(entries, key=lambda one: one.bucket.min_count)
    return {one.bucket.bucket: one.bucket.rows for one in ordered}


def cost(study: Study) -> View:
    return View(
        "Training time and memory",
        "Mean ± standard deviation over seeds. Time ratio: training time of a sample over that of the single table of "
        "the same d and seed. Embedding MiB: parameters in training → after collapse; its ratio: in training. Peak "
        "memory is the whole process's: in a sweep that runs in one process no job can show less than earlier ones.",
        ("embedding", "d", "k", "seconds", "samples/s", "time ratio", "embedding MiB", "embedding ratio", "peak MiB",
         "peak ratio"),
        tuple(
            (one.cell.mode, str(one.cell.dim), _inner(one.cell), formatting.seconds(one.seconds),
             formatting.count(one.samples_per_s), formatting.spread_of_ratio(one.time_ratio),
             " → ".join(formatting.mebibytes(value) for value in one.embedding_bytes),
             NONE if one.embedding_ratio is None else f"{one.embedding_ratio:.1f}×",
             formatting.mebibytes(one.peak_bytes.mean), formatting.spread_of_ratio(one.peak_ratio))
            for one in study.costs
        ),
        optional=("peak ratio", "seconds", "embedding ratio", "peak MiB", "samples/s"),
    )  # fmt: skip


def claims(entries: Sequence[Claim]) -> View | None:
    if not entries:
        return None
    return View(
        "The paper's claims on these runs",
        "Each difference is of one model, data set and d: test AUC, paired by seed. Higher or lower: five or more "
        "seeds, and the 95 % interval leaves out 0. Of several k the best on validation counts. Holds: yes if more "
        "than half are higher and none lower, partly if some are, no if some are lower and none higher. Comparisons "
        "share rows and settings, so they are not independent evidence.",
        ("claim", "paper", "measured here", "holds?"),
        tuple((one.claim, one.paper or NONE, one.measured, one.holds) for one in entries),
        words=4,
    )


def left_out(entries: Sequence[LeftOut]) -> View | None:
    if not entries:
        return None
    rows = tuple((str(one.path), one.state, one.reason) for one in entries)
    return View("Runs that do not count", "", ("folder", "state", "reason"), rows, words=3)


def _quality_row(one: Quality, grouped: bool) -> tuple[str, ...]:
    cell = one.arm.cell
    deciding = sum(found.p is not None and found.p < 0.05 for _, found in one.by_rows)
    return (
        cell.mode,
        str(cell.dim),
        _inner(cell),
        str(len(one.arm.runs)),
        formatting.level(one.auc),
        *([formatting.level(one.gauc)] if grouped else []),
        formatting.level(one.logloss),
        formatting.gain(one.auc_gain),
        formatting.verdict(one.auc_gain),
        formatting.p_value(one.auc_gain.p if one.auc_gain else None),
        formatting.gain(one.logloss_gain),
        f"{deciding} of {len(one.by_rows)}" if one.by_rows else NONE,
        str(one.tried),
        one.arm.setting.label,
    )


def _gain_mark(one: BucketResult | None) -> str:
    if one is None or one.auc_gain is None:
        return NONE
    mark = {"higher": " ▲", "lower": " ▼", "undecided": ""}[one.auc_gain.verdict]
    return formatting.gain(one.auc_gain) + mark


def _bucket_name(name: str) -> str:
    return "never seen" if name == "0" else name


def _inner(cell: Cell) -> str:
    return NONE if cell.inner is None else str(cell.inner)

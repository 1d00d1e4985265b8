"""The tables of comparisons: claims, quality, pairs of runs, gains by bucket, costs and runs.

Most hold the rows of all studies that they are given: csv files take all at once, a page's section those of one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

from mlet_bench.analysis import formatting
from mlet_bench.analysis.claims import Claim
from mlet_bench.analysis.collect import LeftOut, Run
from mlet_bench.analysis.comparisons import Hyperparameters, RunGroup, auc_on_valid, gauc_on_test, logloss_on_test
from mlet_bench.analysis.formatting import diff_ci, interval, mean_sd, number, p_value
from mlet_bench.analysis.study import GroupResult, Study, peak_bytes, samples_per_s
from mlet_bench.evaluation.buckets import RAREST
from mlet_bench.evaluation.statistics import Spread
from mlet_bench.report.table import DIFFERENCE, INTERVAL, SPREAD, Column, Table, find

TASK = (
    Column("", "group.task.dataset", key="dataset"),
    Column("", "group.task.fingerprint", key="data_fingerprint"),
    Column("", "group.task.model", key="model"),
    Column("", "group.task.distinction", key="variant"),
    Column("", "group.task.budget", key="tuning"),
)
VARIANT = (
    Column("", "group.variant.mode", key="mode"),
    Column("embedding", "group.variant.name", words=True),
    Column("d", "group.variant.dim", key="d"),
    Column("k", "group.variant.inner", key="k"),
    Column("", lambda row: find(row, "group.variant.own") or None, key="own", if_known=True),
    Column("bits", "group.variant.bits", key="bits", if_known=True),
)
SIZES = ("training", "inference")
SETTING = Column(
    "setting", "group.tuned", lambda tuned: tuned.label, "setting", {name: name for name in Hyperparameters._fields},
    words=True, dropped=1,
)  # fmt: skip


def claims(entries: Sequence[Claim]) -> Table:
    columns = (
        Column("claim", "claim", key="claim", words=True),
        Column("paper", lambda claim: claim.paper or None, key="paper", words=True),
        Column("measured here", "measured", key="measured", words=True),
        Column("holds?", "holds", key="holds", words=True),
    )
    note = (
        "Each difference is in test AUC, for one model, data set and d, paired by seed. Higher or lower: at least five "
        "seeds, and the 95 % interval excludes 0. Of several k the best on validation counts. Holds: yes if more "
        "than half are higher and none lower, partly if some are higher, no if some are lower and none higher. "
        "Comparisons share rows and settings, so they are not independent evidence."
    )
    return Table("The paper's claims on these runs", columns, entries, note)


def apart(studies: Sequence[Study]) -> Table:
    """What sets comparisons of the same data set and model apart, where their names do not say it."""
    columns = (
        Column("comparison", "title", words=True),
        Column("settings", "comparison.task.distinction", words=True),
    )
    rows = [study for study in studies if study.comparison.task.distinction]
    return Table("Settings that differ between comparisons", columns, rows)


def every_setting(studies: Sequence[Study]) -> Table:
    """Everything known about the quality of every setting that was tried."""
    columns = (
        *TASK,
        *VARIANT,
        SETTING,
        Column("chosen", "chosen", lambda chosen: "chosen" if chosen else "", "chosen", words=True),
        Column("seeds", lambda row: row.auc_gain.n if row.auc_gain else len(row.group.runs), key="seeds"),
        Column("validation AUC", lambda row: row.group.spread(auc_on_valid), mean_sd, "valid_auc", SPREAD),
        Column("AUC", "auc", mean_sd, "test_auc", SPREAD),
        Column("GAUC", _gauc, mean_sd, "test_gauc", SPREAD, if_known=True, dropped=8),
        Column("logloss", lambda row: row.group.spread(logloss_on_test), mean_sd, "test_logloss", SPREAD, dropped=7),
        Column("gain in AUC", "auc_gain", diff_ci, "auc_gain", DIFFERENCE),
        Column("verdict", "auc_gain.verdict"),
        Column("p", "auc_gain.p", p_value, dropped=5),
        Column(
            "change of logloss", lambda row: row.gain(logloss_on_test), diff_ci, "logloss_gain", DIFFERENCE, dropped=2
        ),
        Column("DeLong", _deciding, dropped=3),
        Column("tried", "tried", key="settings_tried", dropped=4),
    )
    rows = [row for study in studies for row in study.results]
    note = "The setting with the best mean validation AUC stands for its embedding in the other tables."
    return Table("Every setting that was tried", columns, rows, note)


def _gauc(row: GroupResult) -> Spread | None:
    spread = row.group.spread(gauc_on_test)
    return spread if spread.n else None


def tried_settings(study: Study) -> Table:
    """Every setting, where a variant was tried with more than one."""
    table = every_setting([study]).without(
        "GAUC", "gain in AUC", "verdict", "p", "change of logloss", "DeLong", "tried"
    )
    several = any(row.tried > 1 for row in study.results)
    return table if several else replace(table, rows=[])


def quality(study: Study) -> Table:
    """The quality of the chosen settings."""
    table = every_setting([study])
    note = (
        "Mean ± standard deviation over seeds. Gain in AUC, change of logloss: difference from the standard embedding "
        "of the same d, paired by seed, ± half of the 95 % interval (Student's t); seeds counts the pairs. Verdict: "
        "higher or lower with at least five pairs and an interval that excludes 0, otherwise undecided. DeLong: pairs "
        "of runs that differ by more than the choice of test rows explains (p < 0.05). Tried: settings of learning "
        "rates and L2, of which the one with the best mean validation AUC is shown."
        + " GAUC: AUC within the groups of dataset.group, weighted by their rows."
        * any(map(_gauc, study.results))
    )
    table = replace(table, title="Test AUC and logloss", rows=study.chosen, note=note)
    of_one = len({row.group.tuned for row in study.chosen}) == 1
    return table.without("chosen", "validation AUC", *(["setting"] if of_one else []))


def _deciding(row: GroupResult) -> str | None:
    """How many pairs of runs differ by more than the choice of test rows explains."""
    deciding = sum(pair.difference.p is not None and pair.difference.p < 0.05 for pair in row.pairs)
    return f"{deciding} of {len(row.pairs)}" if row.pairs else None


def pairs(studies: Sequence[Study]) -> Table:
    """Every pair of runs with the same seed, compared on their test rows."""
    columns = (
        *TASK,
        *VARIANT,
        replace(SETTING, heading=""),
        Column("seed", "seed", key="seed"),
        Column("gain in AUC", "difference.difference", formatting.signed, "auc_gain"),
        Column("", "difference.standard_error", key="standard_error"),
        Column("95 % interval", "difference.ci95", interval, "ci95", INTERVAL),
        Column("p", "difference.p", p_value, "p"),
    )
    note = (
        "Test AUC of a run minus that of the standard embedding of the same d and seed. Interval and p cover the "
        "choice of test rows only, not other seeds."
    )
    rows = [pair for study in studies for row in study.results for pair in row.pairs]
    return Table("Run against run by paired DeLong", columns, rows, note)


def buckets(studies: Sequence[Study]) -> Table:
    """Every bucket of every field; for people there are the tables of gains."""
    names = ("field", "bucket", "min_count", "rows", "positives", "best_auc")
    columns = (
        *TASK,
        *VARIANT,
        *(Column("", f"bucket.{name}", key=name) for name in names),
        Column("", lambda row: row.group.spread(row.number("auc")), key="test_auc", parts=SPREAD),
        Column("", lambda row: row.group.spread(row.number("pr_auc")), key="test_pr_auc", parts=SPREAD),
        Column("", lambda row: row.group.spread(row.number("logloss")), key="test_logloss", parts=SPREAD),
        Column("", "auc_gain", key="auc_gain", parts=DIFFERENCE),
    )
    return Table("", columns, [row for study in studies for row in study.buckets])


def gains(study: Study, field: str, dim: int | None = None) -> Table:
    """Gain in AUC over the standard embedding of the same d: a row per variant; for one d alone a row per bucket."""
    entries = [row for row in study.buckets if row.bucket.field == field and row.auc_gain is not None]
    entries = [row for row in entries if dim in (None, row.variant.dim)]
    variants = list(dict.fromkeys(row.variant for row in entries))
    by_name = {row.bucket.bucket: row.bucket for row in sorted(entries, key=lambda row: row.bucket.lowest)}
    gain = {(row.variant, row.bucket.bucket): row.auc_gain for row in entries}
    what = "a row's rarest category" if field == RAREST else f"field {field}"
    title = f"Gain in AUC by training count: {what}"
    note = (
        "Gain over the standard embedding of the same d, paired by seed, ± half of the 95 % interval. "
        "▲ higher, ▼ lower: at least five seeds and an interval that excludes 0; no mark: undecided."
    )

    def column(heading: str, value: Callable[[Any], Any], dropped: int = 0) -> Column:
        return Column(heading, value, formatting.diff_mark, dropped=dropped)

    def of_bucket(name: str) -> Callable[[Any], Any]:
        return lambda variant: gain.get((variant, name))

    def of_variant(variant: Any) -> Callable[[Any], Any]:
        return lambda bucket: gain.get((variant, bucket.bucket))

    if dim is None:
        columns = [column(f"{_name(each)} ({each.rows:,} rows)", of_bucket(name)) for name, each in by_name.items()]
        return Table(title, [Column("embedding", "label", words=True), *columns], variants, note)
    least = sorted(variants, key=lambda variant: not variant.is_control)[:-1]
    columns = [column(each.label, of_variant(each), least.index(each) + 1 if each in least else 0) for each in variants]
    first = Column("training count", _name, words=True), Column("test rows", "rows", "{:,}".format)
    return Table(title, [*first, *columns], list(by_name.values()), note)


def _name(bucket: Any) -> str:
    return formatting.bucket(bucket.bucket)


def costs(studies: Sequence[Study]) -> Table:
    ratio, speed = partial(mean_sd, digits=".2f", unit="×"), partial(mean_sd, digits=",.0f")
    seconds = attrgetter("result.train.seconds")

    def arrow(both: Sequence[int]) -> str:
        return " → ".join(map(formatting.mebibytes, both))

    columns = (
        *TASK,
        *VARIANT,
        Column(
            "seconds", lambda row: row.group.spread(seconds), formatting.seconds, "train_seconds", SPREAD, dropped=2
        ),
        Column("samples/s", lambda row: row.group.spread(samples_per_s), speed, "samples_per_s", SPREAD, dropped=5),
        Column("time ratio", "time_ratio", ratio, "time_per_sample_ratio", SPREAD),
        Column("", lambda row: row.group.spread(peak_bytes), key="peak_memory_bytes", parts=SPREAD),
        Column("", "peak_ratio", key="peak_memory_ratio", parts=SPREAD),
        *(Column("", f"sizes.embedding_bytes_{when}", key=f"embedding_bytes_{when}") for when in SIZES),
        Column("embedding MiB", lambda row: [getattr(row.sizes, f"embedding_bytes_{when}") for when in SIZES], arrow),
        Column("embedding ratio", "embedding_ratio", "{:.1f}×".format, "embedding_bytes_training_ratio", dropped=3),
        Column("peak MiB", lambda row: row.group.spread(peak_bytes).mean, formatting.mebibytes, dropped=4),
        Column("peak ratio", "peak_ratio", ratio, dropped=1),
        *(Column("", f"sizes.parameters_{when}", key=f"parameters_{when}") for when in SIZES),
    )
    note = (
        "Mean ± standard deviation over seeds. Time ratio: training time per sample over that of the standard "
        "embedding with the same d and seed. Embedding MiB: parameters in training → after collapse; the embedding "
        "ratio is that in training. Peak memory is that of the whole process: in a sweep that runs in one process, no "
        "job can show less than an earlier one."
    )
    return Table("Training time and memory", columns, [row for study in studies for row in study.chosen], note)


class CountedRun(NamedTuple):
    group: RunGroup
    run: Run


def runs(studies: Sequence[Study]) -> Table:
    """Every run that counts."""
    columns = (
        Column("folder", "run.path", key="path", words=True),
        Column("", lambda row: "counted", key="state"),
        Column("", lambda row: "; ".join(row.run.notes), key="reason"),
        *TASK,
        *VARIANT,
        SETTING,
        Column("seed", "run.result.seed", key="seed"),
        Column("validation AUC", "run.result.metrics.valid.auc", number, "valid_auc"),
        Column("AUC", "run.result.metrics.test.auc", number, "test_auc"),
        Column("95 % interval", "run.result.metrics.test.auc_ci95", lambda ends: "{:.4f} to {:.4f}".format(*ends),
               "test_auc_ci95", INTERVAL),
        Column("GAUC", "run.result.metrics.test.gauc", number, "test_gauc", if_known=True),
        Column("logloss", "run.result.metrics.test.logloss", number, "test_logloss"),
    )  # fmt: skip
    rows = [
        CountedRun(group, run) for study in studies for group in study.comparison.groups for run in group.runs.values()
    ]
    return Table("Every run", columns, rows, "The interval is DeLong's and covers the choice of test rows only.")


def left_out(entries: Sequence[LeftOut]) -> Table:
    columns = (
        Column("folder", "path", key="path", words=True),
        Column("state", "state", key="state", words=True),
        Column("reason", "reason", key="reason", words=True),
    )
    return Table("Runs that do not count", columns, entries)

"""The paper's tables, each line followed by our own result; none without runs of its experiments."""

from collections.abc import Callable, Sequence
from typing import Any

from mlet_bench.analysis.comparisons import auc_on_test
from mlet_bench.analysis.formatting import diff_ci, diff_mark, mean_sd, signed
from mlet_bench.analysis.paper import rows as paper
from mlet_bench.analysis.paper.readings import ExperimentRuns
from mlet_bench.evaluation.buckets import HIGHEST_TENTH, LOWEST_TENTH
from mlet_bench.evaluation.statistics import SeedDifference, Spread
from mlet_bench.report.table import DIFFERENCE, SPREAD, Column, Table

MODEL = Column("model, set", "model", key="model", words=True)
READING = Column("figures of", "reading", key="reading", words=True)


def auc(spread: Spread) -> str:
    """Three digits where the paper printed three.

    >>> auc(Spread(0, 0.789, None)), auc(Spread(0, 0.7783, None)), auc(Spread(3, 0.78912, 0.0004))
    ('0.789', '0.7783', '0.7891 ± 0.0004')
    """
    if spread.n or spread.mean is None:
        return mean_sd(spread)
    return f"{spread.mean:.3f}" if abs(spread.mean * 1000 - round(spread.mean * 1000)) < 1e-6 else f"{spread.mean:.4f}"


def gain(difference: SeedDifference) -> str:
    """Without an interval where it is the paper's.

    >>> gain(SeedDifference(0, 0.003)), gain(SeedDifference(5, 0.003, ci95=(0.001, 0.005)))
    ('+0.0030', '+0.0030 ± 0.0020 ▲')
    """
    return diff_mark(difference) if difference.n > 1 else signed(difference.mean)


def percent(difference: SeedDifference) -> str:
    """
    >>> percent(SeedDifference(0, 0.0108)), percent(SeedDifference(5, 0.0108, ci95=(0.01, 0.0116)))
    ('+1.08 %', '+1.08 % ± 0.08 ▲')
    """
    half = "" if difference.half is None else f" ± {100 * difference.half:.2f}"
    mark = {"higher": " ▲", "lower": " ▼", "undecided": ""}[difference.verdict]
    return f"{100 * difference.mean:+.2f} %{half}{mark}"


def paper_tables(found: Sequence[ExperimentRuns]) -> dict[str, Table]:
    """By the names of their csv files; those without rows too."""
    return {
        "paper_auc": auc_table(found),
        "paper_remaining": remaining_table(found),
        "paper_popularity": popularity_table(found),
        "paper_rare": rare_table(found),
        "paper_svd": svd_table(found),
        "paper_compressed": compressed_table(found),
        "paper_rate": rate_table(found),
    }


def auc_table(found: Sequence[ExperimentRuns]) -> Table:
    columns = [MODEL, READING]
    for place, dim in enumerate(paper.WIDTHS):
        columns += [
            Column(f"single\nd = {dim}", _of("single", dim), auc, f"single_d{dim}", SPREAD, dropped=2 * place + 2),
            Column(f"MLET\nd = {dim}", _of("mlet", dim), auc, f"mlet_d{dim}", SPREAD, dropped=2 * place + 3),
            Column(f"gain\nd = {dim}", _of("gain", dim), gain, f"gain_d{dim}", DIFFERENCE),
        ]
    columns.append(Column("largest reduction", "reduction", key="reduction", words=True, dropped=1))
    note = (
        "Test AUC, k = 64; mean ± standard deviation over seeds, gains paired by seed ± half of the 95 % interval. As "
        "published: one learning rate for everything, the paper's initialisation. Tuned table rate: each embedding "
        "with the learning rate that validation chose for it among equally many. Reduction: the largest ratio of "
        "widths at which mean AUC equals or exceeds that of the standard embedding, over all d and k that ran."
    )
    rows = paper.auc_rows(found)
    return Table("Table 3: AUC, and size at equal quality", columns, rows, note, _between(rows))


def remaining_table(found: Sequence[ExperimentRuns]) -> Table:
    columns = (
        Column("model, set", "runs.experiment.label", key="model", words=True),
        Column("data", "runs.data", key="dataset", words=True),
        Column("d", "variant.dim", key="d"),
        Column("k", "variant.inner", key="k"),
        Column("single", lambda row: row.single.spread(auc_on_test), mean_sd, "single", SPREAD, dropped=3),
        Column("its rate", "single.tuned.emb_lr", "{:g}".format, "single_emb_lr", dropped=1),
        Column("MLET", lambda row: row.mlet.spread(auc_on_test), mean_sd, "mlet", SPREAD, dropped=2),
        Column("its rate", "mlet.tuned.emb_lr", "{:g}".format, "mlet_emb_lr", dropped=1),
        Column("gain", "gain", diff_ci, "gain", DIFFERENCE),
        Column("verdict", "gain.verdict", words=True),
    )
    note = "Test AUC. Both have the table rate that validation chose among equally many; gains are paired by seed."
    return Table("What remains when both choose a table rate", columns, paper.remaining(found), note)


def popularity_table(found: Sequence[ExperimentRuns]) -> Table:
    """The gains that remain, by tenth of the rows."""
    rows = [(row, paper.gains_by_bucket(row)) for row in paper.remaining(found)]
    rows = [entry for entry in rows if entry[1]]
    tenths = list(dict.fromkeys(name for _, gains in rows for name in gains))
    columns = [
        Column("model, set", "0.runs.experiment.label", key="model", words=True),
        Column("data", "0.runs.data", key="dataset", words=True),
        Column("d", "0.variant.dim", key="d"),
        Column("k", "0.variant.inner", key="k"),
        *(
            Column(
                name.replace(" tenth", "\ntenth"),
                _tenth(name),
                _short_gain,
                name.replace(" ", "_"),
                DIFFERENCE,
                dropped=int(name not in (LOWEST_TENTH, HIGHEST_TENTH)),
            )
            for name in tenths
        ),
    ]
    note = (
        "Gain in AUC × 10,000 by tenth of the test rows, from the rows with the least frequent categories in training "
        "(the paper's set B) to those with the most frequent (A). ▲ ▼: five seeds or more, and the 95 % interval "
        "excludes 0."
    )
    return Table("What remains, by popularity", columns, rows, note)


def rare_table(found: Sequence[ExperimentRuns]) -> Table:
    columns = (
        MODEL,
        READING,
        Column("d", "dim", key="d"),
        Column("k", "inner", key="k"),
        Column("A, frequent", "frequent", percent, "frequent", DIFFERENCE),
        Column("B, rare", "rare", percent, "rare", DIFFERENCE),
    )
    note = (
        "Relative change of PR-AUC, MLET over the standard embedding of the same d, on the tenth of the test rows "
        "with the most (A) and the least (B) frequent categories."
    )
    rows = paper.rare_rows(found)
    return Table("Table 4: rare and frequent rows", columns, rows, note, _between(rows))


def svd_table(found: Sequence[ExperimentRuns]) -> Table:
    rows = paper.svd_rows(found)
    dims = sorted({dim for row in rows for dim in row.svd})
    columns = [MODEL, READING, Column("k", "inner", key="k")]
    for dim in dims:
        columns += [
            Column(f"SVD\n{dim}", _of("svd", dim), auc, f"svd_{dim}", SPREAD, dropped=1),
            Column(f"MLET\n{dim}", _of("mlet", dim), auc, f"mlet_{dim}", SPREAD, dropped=2),
            Column(f"gain\n{dim}", _of("gain", dim), gain, f"gain_{dim}", DIFFERENCE, dropped=0 if dim == 16 else 3),
        ]
    note = (
        "Test AUC. SVD: a standard embedding of width k, truncated after training to this rank. MLET: inner dimension "
        "k and this width d."
    )
    return Table("Table 5: against SVD of a trained wide table", columns, rows, note, _between(rows))


def compressed_table(found: Sequence[ExperimentRuns]) -> Table:
    columns = (
        Column("model, set", "runs.experiment.label", key="model", words=True),
        Column("data", "runs.data", key="dataset", words=True),
        Column("tables", "scheme", key="scheme", words=True),
        Column("d", "dim", key="d"),
        Column("KiB", "bytes", lambda size: f"{size / 1024:,.0f}", "bytes"),
        Column("single", "single", mean_sd, "single", SPREAD),
        Column("MLET", "mlet", mean_sd, "mlet", SPREAD),
        Column("gain", "gain", gain, "gain", DIFFERENCE),
    )
    note = (
        "Test AUC as published, k = 64. 8 bits: the trained tables quantised, uniform and symmetric, one scale per "
        "field; hashed: the ids of the largest tables share rows by modulo, half as many rows in all. The paper's "
        "result: MLET is better in every combination, 8 bits cost nothing visible, and hashing costs both about the "
        "same."
    )
    return Table("Figure 8: quantised and hashed tables", columns, paper.compressed_rows(found), note)


def rate_table(found: Sequence[ExperimentRuns]) -> Table:
    def share(side: str) -> Callable[[Any], float | None]:
        return lambda row: _absent_share(getattr(row, side))

    columns = (
        Column("model, set", "runs.experiment.label", key="model", words=True),
        Column("data", "runs.data", key="dataset", words=True),
        Column("d", "variant.dim", key="d"),
        Column("k", "variant.inner", key="k"),
        Column("σ", "std", "{:g}".format, "inner_std"),
        Column("k·σ²", "multiple", "{:g}".format, "multiple"),
        Column("single", lambda row: row.single.spread(auc_on_test), mean_sd, "single", SPREAD, dropped=2),
        Column("single,\nrate × k·σ²", lambda row: row.faster.spread(auc_on_test), mean_sd, "single_faster", SPREAD),
        Column("MLET", lambda row: row.mlet.spread(auc_on_test), mean_sd, "mlet", SPREAD),
        Column("gain over\nsingle", "gain", gain, "gain", DIFFERENCE),
        Column("gain over\nthe faster", "rest", gain, "rest", DIFFERENCE),
        Column("absent\nrows", share("mlet"), "{:.1%}".format, "absent_share", if_known=True, dropped=1),
    )
    note = (
        "At the start W2ᵀW2 is about k·σ² times the identity, so under SGD a step moves a row of W1·W2 k·σ² times as "
        "far as a row of a standard embedding. Absent rows: the share of a step's squared movement that falls on rows "
        "absent from its batch."
    )
    return Table("Is MLET a learning rate of the table?", columns, paper.rate_rows(found), note)


def _absent_share(group: Any) -> float | None:
    shares = [
        spectrum.movement.absent_share
        for run in group.runs.values()
        for line in run.spectra
        for spectrum in line.fields.values()
        if spectrum.movement is not None and spectrum.movement.absent_share is not None
    ]
    return sum(shares) / len(shares) if shares else None


def _of(side: str, dim: int) -> Callable[[Any], Any]:
    return lambda row: getattr(row, side).get(dim)


def _tenth(name: str) -> Callable[[Any], SeedDifference | None]:
    return lambda entry: entry[1].get(name)


def _short_gain(difference: SeedDifference) -> str:
    mark = {"higher": "▲", "lower": "▼", "undecided": ""}[difference.verdict]
    return f"{1e4 * difference.mean:+.0f}{mark}"


def _between(rows: Sequence[Any]) -> list[int]:
    """The last row of each model."""
    return [place for place in range(len(rows) - 1) if rows[place].model != rows[place + 1].model]

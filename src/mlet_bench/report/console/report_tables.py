"""A report in the terminal."""

from dataclasses import replace

from rich.console import Console

from mlet_bench.analysis.findings import Findings
from mlet_bench.analysis.paper.verdict import verdict
from mlet_bench.report import frontier, size_ratio, spectra, study_tables
from mlet_bench.report.console.tables import say, show_table
from mlet_bench.report.paper_tables import paper_tables
from mlet_bench.report.table import Table


def show_report(console: Console, found: Findings) -> None:
    """Each comparison's quality, gains, cost and warnings, the size ratios, the runs that do not count, the claims,
    the paper's tables."""
    told: set[str] = set()

    def show(table: Table) -> None:
        """Each note once: many tables have the same one."""
        show_table(console, replace(table, note="" if table.note in told else table.note))
        if table.rows:
            told.add(table.note)

    for study in found.studies:
        console.print()
        say(console, study.title, "bold")
        show(study_tables.quality(study))
        dim = max((row.variant.dim for row in study.results if row.auc_gain is not None), default=None)
        for field in study.headline_fields if dim else ():
            show(study_tables.gains(study, field, dim))
        show(frontier.points_table(study))
        show(frontier.summary_table(study))
        show(study_tables.costs([study]))
        show(spectra.updates(study))
        for warning in study.warnings:
            say(console, f"note: {warning}", "yellow")
    console.print()
    for table in (
        size_ratio.headlines(found.studies),
        size_ratio.summaries(found.studies),
        study_tables.left_out(found.left_out),
        study_tables.claims(found.claims),
        *paper_tables(found.experiments).values(),
    ):
        show(table)
    for sentence in verdict(found.experiments):
        say(console, sentence, "bold")
    say(console, found.conclusion, "bold")

"""The page: one HTML file with everything in it, no script and nothing fetched.

Every word that comes from data passes Jinja's autoescape; only the SVG that matplotlib drew is taken as it is, in
which names are outlines.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mlet_bench import __version__
from mlet_bench.analysis.findings import Findings
from mlet_bench.analysis.formatting import NONE
from mlet_bench.analysis.paper.verdict import verdict
from mlet_bench.analysis.study import Study
from mlet_bench.errors import printable
from mlet_bench.report import frontier, size_ratio, spectra, study_tables
from mlet_bench.report.paper_tables import paper_tables
from mlet_bench.report.table import Table

TEMPLATE = "page.html.j2"


class Picture(NamedTuple):
    """A figure as it stands in the page."""

    svg: Markup
    title: str
    caption: str


class StudySection(NamedTuple):
    """What the page shows of one comparison."""

    title: str
    facts: list[str]
    warnings: Sequence[str]
    tables: list[Table]
    folded: list[Table]
    """Long tables, folded until they are asked for."""
    pictures: Sequence[Picture]


def render(
    found: Findings,
    pictures: Sequence[Sequence[Picture]],
    overall: Sequence[Picture],
    paper: Sequence[Picture],
    folders: Sequence[Path],
) -> str:
    """The page as text; `pictures` are those of each study, `overall` those of all, `paper` those like the paper's."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        sections=[_section(study, own) for study, own in zip(found.studies, pictures, strict=True)],
        claims=study_tables.claims(found.claims),
        sizes=[
            table for table in (size_ratio.headlines(found.studies), size_ratio.summaries(found.studies)) if table.rows
        ],
        overall=overall,
        paper=[table for table in paper_tables(found.experiments).values() if table.rows],
        paper_pictures=paper,
        verdict=verdict(found.experiments),
        left_out=study_tables.left_out(found.left_out),
        conclusion=found.conclusion,
        origin=found.origin,
        apart=study_tables.apart(found.studies),
        folders=[str(folder) for folder in folders],
        runs=sum(len(study.comparison.runs) for study in found.studies),
        gains=sum(row.auc_gain is not None for study in found.studies for row in study.chosen),
        version=__version__,
        unknown=NONE,
    )


def _printable(value: object) -> object:
    """Words from data without what steers a terminal or a browser; our own figures as they are."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(printable(line) for line in value.split("\n"))
    return value


def _section(study: Study, pictures: Sequence[Picture]) -> StudySection:
    comparison = study.comparison
    rows = comparison.runs[0].result.dataset.rows
    settings = {group.tuned for group in comparison.groups}
    facts = [
        f"{', '.join(f'{name} {count:,}' for name, count in rows.items())} rows",
        f"data {comparison.task.fingerprint}" if comparison.task.fingerprint else "",
        f"{len(comparison.runs)} runs, {len(comparison.groups)} configurations",
        f"item field {comparison.item_field}" if comparison.item_field else "",
        settings.pop().label if len(settings) == 1 else "",
    ]
    tables = [
        study_tables.quality(study),
        *(study_tables.gains(study, field) for field in study.headline_fields),
        frontier.points_table(study),
        frontier.summary_table(study),
        study_tables.costs([study]),
        *([size_ratio.every_ratio([study]).without("seeds", "parameters")] if len(study.ratios) > 1 else []),
        spectra.updates(study),
    ]
    folded = [study_tables.tried_settings(study), study_tables.pairs([study]), study_tables.runs([study])]
    return StudySection(
        title=study.title,
        facts=[fact for fact in facts if fact],
        warnings=study.warnings,
        tables=[table for table in tables if table.rows],
        folded=[table for table in folded if table.rows],
        pictures=pictures,
    )

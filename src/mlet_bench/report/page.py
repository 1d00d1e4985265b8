"""The page: one HTML file with everything in it, no script and nothing fetched.

Every word that comes from data passes Jinja's autoescape; only the SVG that matplotlib drew is taken as it is, in
which names are outlines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mlet_bench import __version__
from mlet_bench.analysis.claims import claims
from mlet_bench.analysis.collect import LeftOut
from mlet_bench.analysis.study import Study
from mlet_bench.errors import printable
from mlet_bench.evaluation.buckets import RAREST
from mlet_bench.report import ratio_views, spectra_views, views
from mlet_bench.report.views import View

TEMPLATE = "page.html.j2"


@dataclass(frozen=True)
class Picture:
    """A figure as it stands in the page."""

    svg: Markup
    title: str
    caption: str


@dataclass(frozen=True)
class Section:
    """What the page shows of one comparison."""

    anchor: str
    title: str
    facts: tuple[str, ...]
    warnings: tuple[str, ...]
    tables: tuple[View, ...]
    more: tuple[View, ...]
    """Long tables, folded until they are asked for."""
    pictures: tuple[Picture, ...]


def render(
    studies: Sequence[Study],
    pictures: Mapping[int, Sequence[Picture]],
    overall: Sequence[Picture],
    left_out: Sequence[LeftOut],
    folders: Sequence[Path],
) -> str:
    """The page as text; `pictures` are those of each study by its position, `overall` those of all together."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = [_section(position, one, pictures[position]) for position, one in enumerate(studies)]
    return environment.get_template(TEMPLATE).render(
        sections=sections,
        claims=views.claims(claims(studies)),
        size=ratio_views.size(studies),
        overall=overall,
        left_out=views.left_out(left_out),
        folders=[str(folder) for folder in folders],
        runs=sum(len(one.comparison.runs) for one in studies),
        gains=sum(one.auc_gain is not None for study in studies for one in study.qualities if one.chosen),
        version=__version__,
    )


def _shown(value: object) -> object:
    """Words from data without what steers a terminal or a browser; our own figures as they are."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(printable(line) for line in value.split("\n"))
    return value


def _section(position: int, study: Study, pictures: Sequence[Picture]) -> Section:
    comparison = study.comparison
    rows = comparison.runs[0].result.dataset.rows
    facts = [
        f"{', '.join(f'{name} {count:,}' for name, count in rows.items())} rows",
        f"data {comparison.fingerprint}" if comparison.fingerprint else "",
        f"{len(comparison.runs)} runs, {len(comparison.arms)} arms",
        f"item field {comparison.item_field}" if comparison.item_field else "",
    ]
    fields = dict.fromkeys(name for name in (RAREST, comparison.item_field) if name)
    gains = [views.gains_of_all(study, field) for field in fields]
    after = [views.cost(study), ratio_views.every_ratio(study), spectra_views.updates(study)]
    tables = [views.quality(study), *gains, *after]
    more = (views.every_setting(study), views.pairs(study), views.runs(study))
    settings = {arm.setting for arm in comparison.arms}
    if len(settings) == 1:
        facts.append(comparison.arms[0].setting.label)
    return Section(
        anchor=f"c{position + 1}",
        title=comparison.title,
        facts=tuple(fact for fact in facts if fact),
        warnings=study.warnings,
        tables=tuple(view for view in tables if view is not None),
        more=tuple(view for view in more if view is not None),
        pictures=tuple(pictures),
    )

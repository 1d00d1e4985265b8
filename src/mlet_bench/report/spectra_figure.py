"""What spectra.jsonl shows: singular values at three times, and the effective rank along training."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from mlet_bench.analysis.spectra import SpectrumTrace, traced
from mlet_bench.analysis.study import Study
from mlet_bench.report.figures import Drawn
from mlet_bench.report.style import HEIGHT, WIDTH, axes, legend, log_values, looks, short, titled

TIMES = {"start": 0.0, "middle": 0.5, "end": 1.0}
LOWEST = 1e-6
"""Smaller singular values, in units of the largest, are not drawn: they are zeros."""
MARKERS = 5
"""On a curve of singular values."""


def of_study(study: Study) -> Iterator[Drawn]:
    """At the largest d that a single table and another embedding share, or else the largest; none without spectra."""
    found = traced(study.comparison)
    dims = [{one.cell.dim for one in found if (one.cell.inner is None) == single} for single in (True, False)]
    dim = max(dims[0] & dims[1] or dims[0] | dims[1], default=None)
    shown = [one for one in found if one.cell.dim == dim]
    if shown:
        yield singular_values(study, shown)
        yield effective_rank(study, shown)


def singular_values(study: Study, shown: list[SpectrumTrace]) -> Drawn:
    dim = shown[0].cell.dim
    figure = Figure(figsize=(WIDTH, HEIGHT + 0.3), layout="constrained")
    plots = figure.subplots(1, len(TIMES), sharey=True)
    title = f"Singular values of E, field {short(shown[0].field, 20)}, d = {dim}"
    plots[0].set_title(titled(title, study.comparison.title))
    look = looks(one.cell for one in shown)
    for plot, (name, part) in zip(plots, TIMES.items(), strict=True):
        for one in shown:
            values = one.singular_values(part)
            values = [value for value in values if value > LOWEST * values[0]]
            plot.plot(
                range(1, len(values) + 1),
                values,
                label=one.cell.curve,
                markevery=max(1, dim // MARKERS),
                **look[one.cell.curve]._asdict(),
            )
        plot.set_xticks(sorted({1, (dim + 1) // 2, dim}))
        plot.set_xlabel(name)
    plots[0].set_ylabel("singular value")
    log_values(plots[0])
    legend(figure, plots[0])
    caption = (
        "From the largest to the smallest, before the first step, halfway through the evaluations, and after the last "
        "one; means over seeds."
    )
    return Drawn("singular-values", caption, figure)


def effective_rank(study: Study, shown: list[SpectrumTrace]) -> Drawn:
    dim, field = shown[0].cell.dim, short(shown[0].field, 20)
    title = f"Effective rank of E, field {field}, d = {dim}"
    figure, plot = axes(title, study.comparison.title, "epochs", "effective rank")
    look = looks(one.cell for one in shown)
    for one in shown:
        points = one.ranks()
        plot.plot(list(points), list(points.values()), label=one.cell.curve, **look[one.cell.curve]._asdict())
    plot.set_ylim(bottom=0)
    legend(figure, plot)
    caption = "exp of the entropy of the singular values over their sum, at most d; mean over seeds."
    return Drawn("effective-rank", caption, figure)

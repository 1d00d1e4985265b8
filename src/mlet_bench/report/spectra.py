"""What spectra.jsonl says: one field of each chosen group, averaged over seeds, as a table and two figures."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib.figure import Figure

from mlet_bench.analysis.comparisons import RunGroup, StudyComparison
from mlet_bench.analysis.formatting import number
from mlet_bench.analysis.study import Study
from mlet_bench.report.plotting import HEIGHT, WIDTH, FigureFile, along_epochs, legend, log_values, looks, short, titled
from mlet_bench.report.study_tables import SETTING, TASK, VARIANT
from mlet_bench.report.table import Column, Table, find
from mlet_bench.runs.result import FieldSpectrum, Movement

TIMES = {"start": 0.0, "middle": 0.5, "end": 1.0}
LOWEST = 1e-6
"""Smaller singular values, in units of the largest, are not drawn: they are zeros."""
MARKERS = 5
"""On a curve of singular values."""
Series = list[tuple[float, FieldSpectrum]]
"""Epoch and what the field was like there, from the start on."""


@dataclass(frozen=True)
class SpectrumTrace:
    group: RunGroup
    field: str
    seeds: tuple[Series, ...]
    """Of each seed that has spectra."""

    def ends(self, name: str) -> tuple[float | None, ...]:
        """Mean over seeds of a number at the first and the last evaluation."""
        return tuple(_mean([getattr(series[place][1], name) for series in self.seeds]) for place in (0, -1))

    def moved(self, name: str) -> float | None:
        """Mean of a number of the movement over seeds and recorded steps."""
        return _mean([_mean([find(spectrum, f"movement.{name}") for _, spectrum in series]) for series in self.seeds])

    def singular_values(self, part: float) -> list[float]:
        """Of E, from the largest, at the evaluation that lies this part of the way through; means over seeds."""
        spectra = [series[round(part * (len(series) - 1))][1].singular_values for series in self.seeds]
        return [fmean(values) for values in zip(*(of_seed["E"] for of_seed in spectra if of_seed), strict=False)]


def traces(comparison: StudyComparison) -> list[SpectrumTrace]:
    """The chosen groups that have spectra, on the item field, or else on the field with the most rows."""
    groups = comparison.chosen_groups
    rows = {
        name: spectrum.rows
        for run in (run for group in groups for run in group.runs.values() if run.spectra)
        for name, spectrum in run.spectra[0].fields.items()
    }
    if not rows:
        return []
    item = comparison.item_field
    field = item if item in rows else max(rows, key=lambda name: rows[name])
    every = []
    for group in groups:
        seeds = [
            [(line.epoch, line.fields[field]) for line in run.spectra if field in line.fields]
            for run in group.runs.values()
        ]
        if any(seeds):
            every.append(SpectrumTrace(group, field, tuple(series for series in seeds if series)))
    return every


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def every_spectrum(studies: Sequence[Study]) -> Table:
    """Each field at each evaluation, for the csv file; the singular values themselves stand in spectra.jsonl."""
    rows = [
        {"group": group, "seed": seed, "field": name, "line": line, "spectrum": spectrum}
        for study in studies
        for group in study.comparison.groups
        for seed, run in group.runs.items()
        for line in run.spectra
        for name, spectrum in line.fields.items()
    ]
    columns = (
        *TASK,
        *VARIANT,
        SETTING,
        Column("", "seed", key="seed"),
        Column("", "field", key="field"),
        Column("", "spectrum.rows", key="rows"),
        Column("", "line.step", key="step"),
        Column("", "line.epoch", key="epoch"),
        Column("", "line.lr", key="embedding_lr"),
        Column("", "spectrum.effective_rank", key="effective_rank"),
        Column("", "spectrum.imbalance", key="imbalance"),
        *(Column("", f"spectrum.movement.{name}", key=name) for name in Movement.model_fields),
    )
    return Table("", columns, rows)


def updates(study: Study) -> Table:
    """Effective rank and balance at start and end, and the recorded steps."""

    def arrow(digits: str) -> Callable[[Sequence[float | None]], str]:
        return lambda ends: " → ".join(number(end, digits) for end in ends)

    def balance(trace: SpectrumTrace) -> tuple[float | None, ...] | None:
        return None if trace.group.variant.inner is None else trace.ends("imbalance")

    columns = (
        *VARIANT,
        Column("seeds", lambda trace: len(trace.seeds), dropped=1),
        Column("effective rank", lambda trace: trace.ends("effective_rank"), arrow(".1f")),
        Column("imbalance", balance, arrow(".2f"), dropped=4),
        Column("absent rows", lambda trace: trace.moved("absent_share"), lambda share: f"{100 * share:.2g} %"),
        Column("cosine", lambda trace: trace.moved("cosine"), "{:.3f}".format),
        Column("error", lambda trace: trace.moved("error"), "{:.1e}".format, dropped=2),
        Column("first-order error", lambda trace: trace.moved("first_order_error"), "{:.1e}".format, dropped=3),
    )
    rows = traces(study.comparison)
    note = (
        "Means over seeds and over the recorded steps, one after each evaluation. Effective rank: of E, from start to "
        "end. Imbalance: ‖W1ᵀW1 − W2W2ᵀ‖ over the sum of both norms (0: balanced), from start to end. Absent rows: "
        "the share of a step's squared movement of E that falls on rows absent from its batch. Cosine: between the "
        "real update and the one predicted by algebra for a step of SGD on the factors. Error: its relative error "
        "under SGD, with and without the term in η²."
    )
    return Table(f"Spectra and updates: field {rows[0].field if rows else ''}", columns, rows, note)


def spectra_figures(study: Study) -> Iterator[FigureFile]:
    """At the largest d that the standard and another embedding share, or else the largest; none without spectra."""
    every = traces(study.comparison)
    dims = [{trace.group.variant.dim for trace in every if trace.group.variant.is_baseline == single}
            for single in (True, False)]  # fmt: skip
    dim = max(dims[0] & dims[1] or dims[0] | dims[1], default=None)
    shown = [trace for trace in every if trace.group.variant.dim == dim]
    if shown:
        what = f"of E, field {short(shown[0].field, 20)}, d = {dim}"
        yield _singular_values(f"Singular values {what}", study.title, shown)
        yield _effective_rank(f"Effective rank {what}", study.title, shown)


def _singular_values(title: str, subtitle: str, shown: Sequence[SpectrumTrace]) -> FigureFile:
    dim = shown[0].group.variant.dim
    figure = Figure(figsize=(WIDTH, HEIGHT + 0.3), layout="constrained")
    plots = figure.subplots(1, len(TIMES), sharey=True)
    plots[0].set_title(titled(title, subtitle))
    look = looks(trace.group.variant for trace in shown)
    for plot, (name, part) in zip(plots, TIMES.items(), strict=True):
        for trace in shown:
            values, curve = trace.singular_values(part), trace.group.variant.curve
            values = [value for value in values if value > LOWEST * values[0]]
            every = max(1, dim // MARKERS)
            plot.plot(range(1, len(values) + 1), values, label=curve, markevery=every, **look[curve]._asdict())
        plot.set_xticks(sorted({1, (dim + 1) // 2, dim}))
        plot.set_xlabel(name)
    plots[0].set_ylabel("singular value")
    log_values(plots[0])
    legend(figure, plots[0])
    caption = (
        "From the largest to the smallest, before the first step, halfway through the evaluations, and after the last "
        "one; means over seeds."
    )
    return FigureFile("singular-values", caption, figure)


def _effective_rank(title: str, subtitle: str, shown: Sequence[SpectrumTrace]) -> FigureFile:
    ranks = {
        trace.group.variant: [
            (epoch, spectrum.effective_rank)
            for series in trace.seeds
            for epoch, spectrum in series
            if spectrum.effective_rank is not None
        ]
        for trace in shown
    }
    figure, plot = along_epochs(title, subtitle, "effective rank", ranks)
    plot.set_ylim(bottom=0)
    caption = "exp of the entropy of the singular values over their sum, at most d; mean over seeds."
    return FigureFile("effective-rank", caption, figure)

"""The paper's plots: its curves on the left, ours on the right, with the same axes."""

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlet_bench.analysis.comparisons import Number, RunGroup, auc_on_test, logloss_on_test
from mlet_bench.analysis.paper.published import published
from mlet_bench.analysis.paper.readings import ExperimentRuns
from mlet_bench.analysis.paper.rows import RateRow, compressed_rows, rate_rows
from mlet_bench.analysis.variants import EmbeddingVariant
from mlet_bench.evaluation.statistics import Spread
from mlet_bench.report.figures import dodges
from mlet_bench.report.plotting import (
    BLACK,
    HEIGHT,
    WIDTH,
    FigureFile,
    Look,
    legend,
    log_ticks,
    log_values,
    look,
    titled,
)

METRICS: dict[str, Number] = {"auc": auc_on_test, "logloss": logloss_on_test}
NAMES = {"auc": "test AUC", "logloss": "test logloss"}
Points = Mapping[int | None, Mapping[int, Spread]]
"""By k (None: the standard embedding) and d."""


def paper_figures(found: Sequence[ExperimentRuns]) -> Iterator[FigureFile]:
    for runs in found:
        for metric in METRICS:
            yield from curves(runs, metric)
        yield from starts(runs)
        yield from compressed(runs)
    yield from singular_values(rate_rows(found))


def _name(kind: str, runs: ExperimentRuns) -> str:
    words = f"paper {kind} {runs.name} {runs.data}".replace(",", "").replace("_", " ")
    return "-".join(words.split())


def compressed(runs: ExperimentRuns) -> Iterator[FigureFile]:
    """Figure 8: AUC over the bytes that are served."""
    rows = compressed_rows([runs])
    if len({row.dim for row in rows}) < 2:
        return
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    plot = figure.add_subplot()
    plot.set_title(titled(f"Figure 8: {runs.experiment.label}, 8 bits and hashing", f"here: {runs.data}"))
    plot.set_xlabel("KiB of embedding tables that are served")
    plot.set_ylabel(NAMES["auc"])
    schemes = list(dict.fromkeys(row.scheme for row in rows))
    for side, line in (("single", "--"), ("mlet", "-")):
        for place, scheme in enumerate(schemes):
            points = {row.bytes / 1024: getattr(row, side) for row in rows if row.scheme == scheme}
            how = look(place)._replace(linestyle=line)
            _curve(plot, f"{'MLET' if side == 'mlet' else side}, {scheme}", points, how, 1.0)
    log_ticks(plot, sorted({round(row.bytes / 1024) for row in rows}))
    legend(figure, plot)
    yield FigureFile(
        _name("compressed", runs),
        "k = 64; a point for each d. Mean over seeds; bars: one standard deviation.",
        figure,
    )


def curves(runs: ExperimentRuns, metric: str) -> Iterator[FigureFile]:
    """Quality over d, a curve for each k, where three widths ran as published; logloss where the paper shows it."""
    printed: dict[int | None, dict[int, Spread]] = {
        curve.inner: {dim: Spread(0, value, None) for dim, value in curve.values.items()}
        for curve in published().curves
        if (curve.experiment, curve.metric) == (runs.name, metric)
    }
    ours: dict[int | None, dict[int, Spread]] = {}
    for variant in sorted(runs.published.groups, key=lambda variant: (variant.inner or 0, variant.dim)):
        spread = runs.published.spread(variant, METRICS[metric])
        if spread is not None and (variant.is_baseline or variant.is_method):
            ours.setdefault(variant.inner, {})[variant.dim] = spread
    ours = {inner: points for inner, points in ours.items() if inner is None or len(points) > 1}
    if len({dim for points in ours.values() for dim in points}) < 3 or not (printed or metric == "auc"):
        return
    sides = {"the paper": printed, f"here: {runs.data}": ours}
    title = f"{runs.experiment.label}: {NAMES[metric]} over d, as published"
    figure = _sides(
        title, {name: points for name, points in sides.items() if points}, "d, embedding width", NAMES[metric]
    )
    caption = "One learning rate for everything. Ours: mean over seeds; bars: one standard deviation."
    yield FigureFile(_name(metric, runs), caption, figure)


def starts(runs: ExperimentRuns) -> Iterator[FigureFile]:
    """Figure 4: validation logloss by the start of W2."""
    if not runs.starts:
        return
    variants = {variant for groups in runs.starts.values() for variant in groups}
    points: dict[str, dict[float, Spread]] = {}
    for std, groups in runs.starts.items():
        for variant, group in groups.items():
            points.setdefault(f"{variant.curve}, d = {variant.dim}", {})[std] = _valid_logloss(group)
    title = f"Figure 4: {runs.experiment.label}, the start of W2"
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    plot = figure.add_subplot()
    plot.set_title(titled(title, f"here: {runs.data}"))
    plot.set_xlabel("standard deviation of W2's entries at the start")
    plot.set_ylabel("validation logloss")
    for place, (label, of_label) in enumerate(points.items()):
        _curve(plot, label, of_label, look(place), 1.0)
    for dim in sorted({variant.dim for variant in variants}):
        single = runs.published.groups.get(EmbeddingVariant.baseline(dim))
        mean = None if single is None else _valid_logloss(single).mean
        if mean is not None:
            plot.axhline(mean, color=BLACK, linestyle=":", label=f"single, d = {dim}")
    log_ticks(plot, sorted(runs.starts))
    plot.tick_params(axis="x", labelsize=8, rotation=30)
    legend(figure, plot)
    caption = (
        "The paper (k = 32, Avazu): below 0.1 MLET is worse than the standard embedding, from 0.25 on better, and "
        "best at 0.48. Mean over seeds; bars: one standard deviation."
    )
    yield FigureFile(_name("start", runs), caption, figure)


def _valid_logloss(group: RunGroup) -> Spread:
    return group.spread(lambda run: run.result.metrics.valid.logloss)


def singular_values(rows: Sequence[RateRow]) -> Iterator[FigureFile]:
    """Singular values of the largest field's table after training: MLET and the standard embedding, same rate."""
    with_spectra = [row for row in rows if all(_last_values(group) for group in (row.single, row.faster, row.mlet))]
    if not with_spectra:
        return
    row = max(with_spectra, key=lambda row: (row.std == row.runs.experiment.inner_std, row.multiple))
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    plot = figure.add_subplot()
    plot.set_title(
        titled(
            f"Singular values after training, d = {row.variant.dim}", f"{row.runs.experiment.label}, {row.runs.data}"
        )
    )
    plot.set_xlabel("singular value, from the largest")
    plot.set_ylabel("size")
    groups = {"single": row.single, f"single, rate × {row.multiple:g}": row.faster, row.variant.curve: row.mlet}
    for place, (label, group) in enumerate(groups.items()):
        values = _last_values(group)
        how = Look(BLACK, "o", "-") if place == 0 else look(place - 1)
        plot.plot(range(1, len(values) + 1), values, label=label, **how._asdict())
    log_values(plot)
    legend(figure, plot)
    caption = (
        "The field with the most rows; mean over seeds. If MLET were only a learning rate, its curve would match that "
        "of the standard embedding (single) with the multiplied rate."
    )
    yield FigureFile("paper-singular-values", caption, figure)


def _last_values(group: RunGroup) -> list[float]:
    last = [run.spectra[-1].fields for run in group.runs.values() if run.spectra]
    largest = [max(fields.values(), key=lambda spectrum: spectrum.rows) for fields in last if fields]
    values = [spectrum.singular_values["E"] for spectrum in largest if spectrum.singular_values]
    return [sum(column) / len(column) for column in zip(*values, strict=False)]


def _sides(title: str, sides: Mapping[str, Points], x: str, y: str) -> Figure:
    """A panel for each side, with one scale of d and a legend for both."""
    figure = Figure(figsize=(WIDTH * (1.45 if len(sides) > 1 else 1), HEIGHT), layout="constrained")
    plots = figure.subplots(1, len(sides), squeeze=False)[0]
    every = sorted({inner or 0 for points in sides.values() for inner in points})
    dims = sorted({dim for points in sides.values() for of_k in points.values() for dim in of_k})
    plots[0].set_title(titled(title, ""))
    for plot, (name, points) in zip(plots, sides.items(), strict=True):
        for inner, of_k in points.items():
            place = every.index(inner or 0)
            how = Look(BLACK, "o", "-") if inner is None else look(place - (0 in every))
            shift = dodges(len(every))[place]
            _curve(plot, "single" if inner is None else f"k = {inner}", of_k, how, shift)
        log_ticks(plot, dims)
        plot.set_xlabel(f"{x} ({name})")
    plots[0].set_ylabel(y)
    handles = {label: handle for plot in plots for handle, label in zip(*plot.get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=5)
    return figure


def _curve(
    plot: Axes, label: str, points: Mapping[int, Spread] | Mapping[float, Spread], how: Look, shift: float
) -> None:
    known = [
        (x * shift, spread.mean, spread.sd or 0.0) for x, spread in sorted(points.items()) if spread.mean is not None
    ]
    xs, means, sds = zip(*known, strict=True) if known else ((), (), ())
    plot.errorbar(xs, means, yerr=sds, label=label, **how._asdict())

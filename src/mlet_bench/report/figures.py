"""The figures of a comparison, those that have something to show. Bars are spread or intervals over seeds."""

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlet_bench.analysis import formatting
from mlet_bench.analysis.study import BucketResult, Study
from mlet_bench.analysis.variants import EmbeddingVariant
from mlet_bench.evaluation.buckets import RAREST
from mlet_bench.evaluation.statistics import Spread
from mlet_bench.report.frontier import frontier_figures
from mlet_bench.report.plotting import (
    BLACK,
    MOST_CURVES,
    FigureFile,
    Look,
    along_epochs,
    axes,
    compact,
    legend,
    log_ticks,
    look,
    looks,
    short,
)
from mlet_bench.report.spectra import spectra_figures


def study_figures(study: Study) -> Iterator[FigureFile]:
    yield from auc_by_dim(study)
    yield from auc_by_inner(study)
    yield from gains(study)
    yield from learning_curves(study)
    yield from frontier_figures(study)
    yield from costs(study)
    yield from spectra_figures(study)


def auc_by_dim(study: Study) -> Iterator[FigureFile]:
    spreads = _chosen_auc(study)
    if len({variant.dim for variant in spreads}) < 2:
        return
    shown = looks(spreads)
    curves: dict[str, dict[int, Spread]] = {curve: {} for curve in shown}
    for variant, spread in spreads.items():
        curves[variant.curve][variant.dim] = spread
    wide = {curve: own for curve, own in curves.items() if len(own) > 1} or curves
    labels = ("Test AUC by embedding width", "d, embedding width", "test AUC")
    figure, _ = _by_width(study, *labels, wide, [shown[curve] for curve in wide])
    yield FigureFile("auc-by-d", "Mean over seeds; bars: one standard deviation.", figure)


def auc_by_inner(study: Study) -> Iterator[FigureFile]:
    spreads = _chosen_auc(study)
    curves = _curves_by_inner(spreads)
    if not curves:
        return
    figure, plot = _by_width(study, "Test AUC by inner dimension", "k, inner dimension", "test AUC", curves)
    for place, dim in enumerate(dict.fromkeys(variant.dim for variant in spreads if variant.inner is not None)):
        single, shown = spreads.get(EmbeddingVariant.baseline(dim)), look(place)
        if single is not None and single.mean is not None:
            plot.axhline(single.mean, color=shown.color, linestyle=":", linewidth=1.2, zorder=1)
            plot.plot(
                [1.0], [single.mean], transform=plot.get_yaxis_transform(), marker=shown.marker, color=shown.color,
                markerfacecolor="white", clip_on=False, linestyle="none",
            )  # fmt: skip
    caption = (
        "Mean over seeds; bars: one standard deviation. Dotted line, with a hollow marker at the right edge: the "
        "standard embedding (single) of the same d."
    )
    yield FigureFile("auc-by-k", caption, figure)


def gains(study: Study) -> Iterator[FigureFile]:
    """A figure for `rarest` and one for the item field, at the largest d that single and others share.

    None for more embeddings than bars beside each other can be read of: the table has them.
    """
    entries = [row for row in study.buckets if row.auc_gain is not None and not row.variant.is_control]
    dim = max((row.variant.dim for row in entries), default=None)
    for field in study.headline_fields:
        own = [row for row in entries if row.bucket.field == field and row.variant.dim == dim]
        if own and len({row.variant.curve for row in own}) <= MOST_CURVES:
            yield _gain_figure(study, field, own)


def _gain_figure(study: Study, field: str, entries: Sequence[BucketResult]) -> FigureFile:
    what = "a row's rarest category" if field == RAREST else short(field, 20)
    title = f"Gain in AUC by count of {what}, d = {entries[0].variant.dim}"
    figure, plot = axes(title, study.title, "training count; below: test rows", "test AUC minus single's")
    buckets = sorted({(row.bucket.lowest, row.bucket.bucket, row.bucket.rows) for row in entries})
    places = {name: place for place, (_, name, _) in enumerate(buckets)}
    shown = looks(row.variant for row in entries)
    for position, (curve, how) in enumerate(shown.items()):
        points = [
            (places[row.bucket.bucket], row.auc_gain) for row in entries if row.variant.curve == curve and row.auc_gain
        ]
        shift = 0.7 * ((position + 0.5) / len(shown) - 0.5)
        plot.errorbar(
            [place + shift for place, _ in points],
            [gain.mean for _, gain in points],
            yerr=[gain.half or 0.0 for _, gain in points],
            label=curve,
            **{**how._asdict(), "linestyle": "none"},
        )
    plot.axhline(0, color=BLACK, linewidth=0.8)
    for edge in range(1, len(buckets)):
        plot.axvline(edge - 0.5, color="#dddddd", linewidth=0.6)
    names = [f"{formatting.bucket(name)}\n{compact(rows)}" for _, name, rows in buckets]
    plot.set_xticks(range(len(buckets)), names, fontsize=8)
    plot.grid(visible=False, axis="x")
    legend(figure, plot)
    caption = (
        "Mean difference from the standard embedding (single) of the same d, paired by seed; bars: 95 % interval "
        "(Student's t)."
    )
    return FigureFile(f"gain-{'rarest' if field == RAREST else 'item'}", caption, figure)


def learning_curves(study: Study) -> Iterator[FigureFile]:
    """Validation AUC along training, at the largest d that single and others share, or else the largest; of a few."""
    chosen = [row for row in study.chosen if not row.variant.is_control]
    dim = max((row.variant.dim for row in ([row for row in chosen if row.auc_gain] or chosen)), default=None)
    points = {
        row.variant: [
            (line.epoch, line.valid_auc)
            for run in row.group.runs.values()
            for line in run.curve
            if line.valid_auc is not None
        ]
        for row in chosen
        if row.variant.dim == dim
    }
    if len(points) <= MOST_CURVES and any(len({epoch for epoch, _ in own}) > 1 for own in points.values()):
        figure, _ = along_epochs(f"Validation AUC along training, d = {dim}", study.title, "validation AUC", points)
        yield FigureFile("learning-curves", "Mean over the seeds that were still training.", figure)


def costs(study: Study) -> Iterator[FigureFile]:
    """Training time per sample and bytes of the embedding, over the standard embedding's, by k."""
    rows = [row for row in study.chosen if not row.variant.is_control]
    times = {row.variant: row.time_ratio for row in rows if row.time_ratio and row.embedding_ratio}
    sizes = {row.variant: Spread.of([row.embedding_ratio]) for row in rows if row.embedding_ratio}
    for name, spreads, title, y, caption in (
        ("time-ratio", times, "Training time by inner dimension", "time per sample, over single's",
         "Mean over seeds, paired by seed; bars: one standard deviation. 1: single, with the same d."),
        ("memory-ratio", sizes, "Embedding memory in training by inner dimension", "parameter bytes, over single's",
         "Parameters of the embedding alone, without the optimiser's state. After collapse the ratio is 1."),
    ):  # fmt: skip
        curves = _curves_by_inner(spreads)
        if curves and any(spread.mean is not None for spread in spreads.values()):
            figure, plot = _by_width(study, title, "k, inner dimension", y, curves)
            plot.axhline(1, color=BLACK, linewidth=0.8)
            yield FigureFile(name, caption, figure)


def _chosen_auc(study: Study) -> dict[EmbeddingVariant, Spread]:
    return {row.variant: row.auc for row in study.chosen if not row.variant.is_control}


def _curves_by_inner(spreads: Mapping[EmbeddingVariant, Spread]) -> dict[str, dict[int, Spread]]:
    """A curve over k for each d, and for each mode where several have a k; none where there is one k alone."""
    factorised = {
        variant: spread for variant, spread in spreads.items() if variant.inner is not None and variant.is_trained
    }
    several_modes = len({variant.mode for variant in factorised}) > 1
    curves: dict[str, dict[int, Spread]] = {}
    for variant, spread in sorted(factorised.items()):
        assert variant.inner is not None
        curve = f"{variant.mode}, d = {variant.dim}" if several_modes else f"d = {variant.dim}"
        curves.setdefault(curve, {})[variant.inner] = spread
    return curves if len({variant.inner for variant in factorised}) > 1 else {}


def _by_width(
    study: Study, title: str, x: str, y: str, curves: Mapping[str, Mapping[int, Spread]], shown: Sequence[Look] = ()
) -> tuple[Figure, Axes]:
    """Means over a logarithmic axis of widths, with one standard deviation where there are two seeds or more."""
    figure, plot = axes(title, study.title, x, y)
    shown = shown or [look(place) for place in range(len(curves))]
    for (curve, spreads), how, shift in zip(curves.items(), shown, dodges(len(curves)), strict=True):
        points = [(width, spread.mean, spread.sd or 0.0) for width, spread in sorted(spreads.items())]
        known = [(width * shift, mean, sd) for width, mean, sd in points if mean is not None]
        widths, means, sds = zip(*known, strict=True) if known else ((), (), ())
        plot.errorbar(widths, means, yerr=sds, label=curve, **how._asdict())
    log_ticks(plot, sorted({width for spreads in curves.values() for width in spreads}))
    legend(figure, plot)
    return figure, plot


def dodges(curves: int) -> list[float]:
    """Factors that set the curves of a logarithmic axis a little apart, so that their bars do not hide each other.

    >>> [round(factor, 3) for factor in dodges(3)]
    [0.966, 1.0, 1.035]
    """
    apart = min(0.05, 0.2 / max(curves, 1))
    return [2 ** (apart * (position - (curves - 1) / 2)) for position in range(curves)]

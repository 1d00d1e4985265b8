"""The figures of a report, those that have something to show. Bars are spread or intervals over seeds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlet_bench.analysis.arms import SINGLE, Cell
from mlet_bench.analysis.study import BucketResult, Study
from mlet_bench.evaluation.buckets import RAREST
from mlet_bench.evaluation.statistics import Spread
from mlet_bench.report.style import BLACK, Look, axes, compact, compact_bucket, legend, log_ticks, look, looks, short
from mlet_bench.runs.result import Evaluation


@dataclass(frozen=True)
class Drawn:
    name: str
    caption: str
    figure: Figure


def of_study(study: Study) -> Iterator[Drawn]:
    """The figures of one comparison."""
    yield from auc_by_dim(study)
    yield from auc_by_inner(study)
    yield from gains(study)
    yield from learning_curves(study)
    yield from costs(study)


def auc_by_dim(study: Study) -> Iterator[Drawn]:
    chosen = {one.arm.cell: one.auc for one in study.qualities if one.chosen and not one.arm.cell.is_control}
    dims = sorted({cell.dim for cell in chosen})
    if len(dims) < 2:
        return
    figure, plot = axes("Test AUC by embedding width", study.comparison.title, "d, embedding width", "test AUC")
    shown = looks(chosen)
    for curve, shift in zip(shown, dodges(len(shown)), strict=True):
        points = {cell.dim: spread for cell, spread in chosen.items() if cell.curve == curve}
        _line(plot, points, curve, shown[curve], shift)
    log_ticks(plot, dims)
    legend(figure, plot)
    yield Drawn("auc-by-d", "Mean over seeds; bars: one standard deviation.", figure)


def auc_by_inner(study: Study) -> Iterator[Drawn]:
    chosen = {one.arm.cell: one.auc for one in study.qualities if one.chosen and not one.arm.cell.is_control}
    inner = sorted({cell.inner for cell in chosen if cell.inner is not None})
    if len(inner) < 2:
        return
    figure, plot = axes("Test AUC by inner dimension", study.comparison.title, "k, inner dimension", "test AUC")
    shown_dims = sorted({cell.dim for cell in chosen if cell.inner is not None})
    for position, (dim, shift) in enumerate(zip(shown_dims, dodges(len(shown_dims)), strict=True)):
        shown = look(position)
        points = {cell.inner: spread for cell, spread in chosen.items() if cell.dim == dim and cell.inner}
        _line(plot, points, f"d = {dim}", shown, shift)
        single = chosen.get(Cell(SINGLE, dim, None))
        if single is not None and single.mean is not None:
            plot.axhline(single.mean, color=shown.color, linestyle=":", linewidth=1.2, zorder=1)
            plot.plot(
                [1.0], [single.mean], transform=plot.get_yaxis_transform(), marker=shown.marker, color=shown.color,
                markerfacecolor="white", clip_on=False, linestyle="none",
            )  # fmt: skip
    log_ticks(plot, inner)
    legend(figure, plot)
    caption = (
        "Mean over seeds; bars: one standard deviation. Dotted, with the hollow marker at the right edge: the single "
        "table of the same d."
    )
    yield Drawn("auc-by-k", caption, figure)


def gains(study: Study) -> Iterator[Drawn]:
    """A figure for `rarest` and one for the item field, at the largest d that single and others share."""
    with_gain = [one for one in study.buckets if one.auc_gain is not None and not one.cell.is_control]
    dim = max((one.cell.dim for one in with_gain), default=None)
    for field in dict.fromkeys(name for name in (RAREST, study.comparison.item_field) if name):
        entries = [one for one in with_gain if one.bucket.field == field and one.cell.dim == dim]
        if entries:
            yield _gain_figure(study, field, entries)


def _gain_figure(study: Study, field: str, entries: Sequence[BucketResult]) -> Drawn:
    what = "a row's rarest category" if field == RAREST else short(field, 20)
    figure, plot = axes(
        f"Gain in AUC by count of {what}, d = {entries[0].cell.dim}",
        study.comparison.title,
        "training count; below: test rows",
        "test AUC minus single's",
    )
    buckets = sorted({(one.bucket.min_count, one.bucket.bucket, one.bucket.rows) for one in entries})
    places = {name: place for place, (_, name, _) in enumerate(buckets)}
    shown = looks(one.cell for one in entries)
    for position, (curve, how) in enumerate(shown.items()):
        own = [one for one in entries if one.cell.curve == curve]
        shift = 0.7 * ((position + 0.5) / len(shown) - 0.5)
        plot.errorbar(
            [places[one.bucket.bucket] + shift for one in own],
            [one.auc_gain.mean for one in own if one.auc_gain],
            yerr=[one.auc_gain.half or 0.0 for one in own if one.auc_gain],
            label=curve,
            **{**how._asdict(), "linestyle": "none"},
        )
    plot.axhline(0, color=BLACK, linewidth=0.8)
    for edge in range(1, len(buckets)):
        plot.axvline(edge - 0.5, color="#dddddd", linewidth=0.6)
    names = [f"{compact_bucket(name)}\n{compact(rows)}" for _, name, rows in buckets]
    plot.set_xticks(range(len(buckets)), names, fontsize=8)
    plot.grid(visible=False, axis="x")
    legend(figure, plot)
    caption = (
        "Mean of differences paired by seed, over the single table of the same d; bars: 95 % interval (Student's t)."
    )
    return Drawn(f"gain-{'rarest' if field == RAREST else 'item'}", caption, figure)


def learning_curves(study: Study) -> Iterator[Drawn]:
    """Validation AUC along training, at the largest d that single and others share, or else the largest."""
    chosen = [one for one in study.qualities if one.chosen and not one.arm.cell.is_control]
    if not chosen:
        return
    dim = max(one.arm.cell.dim for one in ([one for one in chosen if one.auc_gain] or chosen))
    curves = {
        one.arm.cell: _mean_curve(run.curve for run in one.arm.runs.values())
        for one in chosen
        if one.arm.cell.dim == dim
    }
    if not any(len(curve) > 1 for curve in curves.values()):
        return
    figure, plot = axes(f"Validation AUC along training, d = {dim}", study.comparison.title, "epochs", "validation AUC")
    shown = looks(curves)
    for cell, points in curves.items():
        plot.plot(list(points), list(points.values()), label=cell.curve, **shown[cell.curve]._asdict())
    legend(figure, plot)
    yield Drawn("learning-curves", "Mean over the seeds that were still training.", figure)


def _mean_curve(curves: Iterable[Sequence[Evaluation]]) -> dict[float, float]:
    """Validation AUC by epoch, over the runs that were evaluated there."""
    found: dict[float, list[float]] = {}
    for curve in curves:
        for one in curve:
            found.setdefault(round(one.epoch, 6), []).append(one.valid_auc)
    return {epoch: fmean(values) for epoch, values in sorted(found.items())}


def costs(study: Study) -> Iterator[Drawn]:
    """Training time of a sample and bytes of the embedding, over the single table's, by k."""
    shown = [one for one in study.costs if not one.cell.is_control]
    entries = [one for one in shown if one.cell.inner is not None and one.embedding_ratio is not None]
    inner = sorted({one.cell.inner for one in entries if one.cell.inner is not None})
    if len(inner) < 2:
        return
    figures = {
        "time-ratio": (
            "Training time",
            "time of a sample, over single's",
            {one.cell: one.time_ratio for one in entries},
        ),
        "memory-ratio": (
            "Embedding memory in training",
            "parameter bytes, over single's",
            {one.cell: Spread.of([one.embedding_ratio]) for one in entries if one.embedding_ratio},
        ),
    }
    for name, (title, y, ratio) in figures.items():
        if all(spread.mean is None for spread in ratio.values()):
            continue
        figure, plot = axes(f"{title} by inner dimension", study.comparison.title, "k, inner dimension", y)
        dims = sorted({cell.dim for cell in ratio})
        for position, (dim, shift) in enumerate(zip(dims, dodges(len(dims)), strict=True)):
            points = {cell.inner: spread for cell, spread in ratio.items() if cell.dim == dim and cell.inner}
            _line(plot, points, f"d = {dim}", look(position), shift)
        plot.axhline(1, color=BLACK, linewidth=0.8)
        log_ticks(plot, inner)
        legend(figure, plot)
        yield Drawn(name, _COST_CAPTIONS[name], figure)


_COST_CAPTIONS = {
    "time-ratio": "Mean over seeds, paired by seed; bars: one standard deviation. 1: the single table of the same d.",
    "memory-ratio": "Parameters of the embedding alone, without the optimiser's state. After collapse the ratio is 1.",
}


def dodges(curves: int) -> list[float]:
    """Factors that set the curves of a logarithmic axis a little apart, so that their bars do not hide each other.

    >>> [round(factor, 3) for factor in dodges(3)]
    [0.966, 1.0, 1.035]
    """
    apart = min(0.05, 0.2 / max(curves, 1))
    return [2 ** (apart * (position - (curves - 1) / 2)) for position in range(curves)]


def _line(plot: Axes, points: Mapping[int, Spread], label: str, shown: Look, shift: float) -> None:
    """Means, with one standard deviation where there are two seeds or more."""
    known = [(x, one.mean, one.sd or 0.0) for x, one in sorted(points.items()) if one.mean is not None]
    plot.errorbar(
        [x * shift for x, _, _ in known],
        [mean for _, mean, _ in known],
        yerr=[deviation for _, _, deviation in known],
        label=label,
        **shown._asdict(),
    )

"""Quality against the bytes that are served: tables and figures."""

from collections.abc import Iterator, Sequence

from mlet_bench.analysis.comparisons import Number, auc_on_test, logloss_on_test
from mlet_bench.analysis.formatting import NONE, mean_sd
from mlet_bench.analysis.frontier import SHARES, MethodSummary, Point, front, frontier, lowest_tenth_auc, summaries
from mlet_bench.analysis.study import Study
from mlet_bench.evaluation.statistics import Spread
from mlet_bench.report.plotting import BLACK, FigureFile, Look, axes, legend, log_bytes, look
from mlet_bench.report.table import SPREAD, Column, Table

KIB = 1024
FIGURE_NOTE = (
    "Mean over seeds; bars: 95 % interval over seeds (Student's t). Circles, the front: nobody serves as few bytes and "
    "is as good by this figure."
)


def _kib(size: float) -> str:
    """
    >>> _kib(1536), _kib(17_286_439_424)
    ('1.5', '16,881,288')
    """
    return f"{size / KIB:,.1f}" if size < 10_000 * KIB else f"{size / KIB:,.0f}"


def points_table(study: Study) -> Table:
    """Every embedding by the bytes that it serves."""
    points, lowest = frontier(study), lowest_tenth_auc(study)
    on_front = front(points, auc_on_test)
    columns = (
        Column("embedding", "method", key="method", words=True),
        Column("d", "variant.dim", key="d"),
        Column("ratio", lambda point: point.result.group.first.result.emb.ratio, "{:g}".format, "ratio", if_known=True),
        Column("KiB served", "bytes", _kib, "bytes"),
        Column("of full", "share", "{:.3f}".format, "share", dropped=4),
        Column("front", lambda point: "●" if point in on_front else "", words=True),
        Column("test AUC", lambda point: point.spread(auc_on_test), mean_sd, "test_auc", SPREAD),
        Column("logloss", lambda point: point.spread(logloss_on_test), mean_sd, "test_logloss", SPREAD, dropped=3),
        Column("AUC, lowest tenth", lambda point: point.spread(lowest), mean_sd, "lowest_tenth_auc", SPREAD, dropped=2),
        Column("training s", "seconds", lambda spread: _mean(spread, 1), "train_seconds", SPREAD, dropped=1),
        Column("peak MiB", "peak_memory", lambda spread: _mean(spread, KIB * KIB), "peak_memory", SPREAD, dropped=1),
        Column("", "result.sizes.ratio_small", key="share_of_small_fields"),
    )
    note = (
        "Bytes of everything that is served: rows, indices, projections, networks, fields that stay whole. Front: no "
        "other embedding has a higher mean AUC in as few bytes. Lowest tenth: the test rows with the least frequent "
        "categories in training. Training time and memory are meaningful only if nothing else ran."
    )
    return Table("Quality by bytes served", columns, points, note)


def summary_table(study: Study) -> Table:
    """Bytes each method needs for the full table's quality, and the quality it reaches with a share of them."""

    def at(share: float) -> Column:
        def value(row: MethodSummary) -> Spread | None:
            point = row.at(share)
            return None if point is None else point.spread(auc_on_test)

        return Column(f"AUC at {share:g} of full", value, mean_sd, f"auc_at_{share:g}", SPREAD)

    columns = (
        Column("embedding", "method", key="method", words=True),
        Column("KiB at the full table's AUC", "bytes_at_full_quality", _kib, "bytes_at_full_auc"),
        *(at(share) for share in SHARES),
    )
    note = (
        f"{NONE}: no embedding that ran is as good, or as small. Full table: the standard embedding (single) with the "
        "most bytes. At a share of it: the best on test among those that are small enough."
    )
    return Table("Bytes needed and quality reached by each method", columns, summaries(frontier(study)), note)


def frontier_figures(study: Study) -> Iterator[FigureFile]:
    points = frontier(study)
    if len({point.bytes for point in points}) < 2:
        return
    kinds: tuple[tuple[str, str, Number], ...] = (
        ("auc", "Test AUC", auc_on_test),
        ("logloss", "Test logloss", logloss_on_test),
        ("rare", "Test AUC, lowest tenth", lowest_tenth_auc(study)),
    )
    for name, label, number in kinds:
        if any(point.spread(number).n for point in points):
            yield _figure(study, points, f"bytes-{name}", label, number)


def _figure(study: Study, points: Sequence[Point], name: str, label: str, number: Number) -> FigureFile:
    figure, plot = axes(f"{label} by bytes served", study.title, "bytes of embeddings", label[0].lower() + label[1:])
    for place, row in enumerate(summaries(points)):
        shown = Look(BLACK, "o", "-") if row.points[0].variant.is_baseline else look(place)
        spreads = {point.bytes: point.spread(number) for point in row.points}
        known = {size: spread for size, spread in spreads.items() if spread.mean is not None}
        plot.errorbar(
            list(known),
            [spread.mean or 0.0 for spread in known.values()],
            yerr=[spread.half or 0.0 for spread in known.values()],
            label=row.method,
            **shown._asdict(),
        )
    best = front(points, number, low=number is logloss_on_test)
    circles = [(point.bytes, point.spread(number).mean or 0.0) for point in best]
    if circles:
        plot.plot(*zip(*circles, strict=True), "o", markersize=12, markerfacecolor="none", color=BLACK, label="front")
    log_bytes(plot, [point.bytes for point in points])
    legend(figure, plot)
    return FigureFile(name, FIGURE_NOTE, figure)


def _mean(spread: Spread, unit: float) -> str:
    return NONE if spread.mean is None else f"{spread.mean / unit:,.0f}"

"""The tables of size ratios."""

from collections.abc import Iterator, Sequence

from mlet_bench.analysis import formatting
from mlet_bench.analysis.formatting import NONE
from mlet_bench.analysis.size_ratio import Summary
from mlet_bench.analysis.study import Study
from mlet_bench.report.views import View


def size(studies: Sequence[Study]) -> View | None:
    """The headline size ratio of every comparison, then their mean and maximum."""
    with_ratio = [one for one in studies if one.headline is not None]
    if not with_ratio:
        return None
    rows: list[tuple[str, ...]] = []
    for one in with_ratio:
        ratio = one.headline
        assert ratio is not None
        if ratio.reached is None or ratio.cell is None:
            reached, value, between = "not reached", f"< {formatting.times(ratio.ref_dim / ratio.widest)}", NONE
        else:
            reached = ratio.cell.label
            value = ("≥ " if ratio.reached.is_smallest_tried else "") + formatting.times(ratio.ratio)
            between = formatting.times(ratio.interpolated_ratio)
        rows.append(
            (one.comparison.title, str(ratio.ref_dim), reached, value,
             formatting.interval_of_ratio(ratio.ci95), between,
             formatting.gain(ratio.test), formatting.times(ratio.parameters), str(ratio.seeds))
        )  # fmt: skip
    for name, found in summaries(studies).items():
        rows += _summary_rows(name, found)
    margin = with_ratio[0].headline.margin if with_ratio[0].headline else 0.0
    return View(
        "Size ratio at equal quality",
        "d_ref of the single table over the smallest MLET d whose mean validation AUC reaches the single table's there "
        f"(margin {margin:g}): the ratio of their bytes after training. Interval: bootstrap over seeds. "
        "≥: no smaller d was tried. Interpolated: on the line between widths, over log d. Test gain: AUC of that MLET "
        "arm minus the single table's at d_ref. Parameters: of the whole models, after collapse.",
        ("data set · model", "d_ref", "reached by", "ratio", "95 % interval", "interpolated", "test gain in AUC",
         "parameters", "seeds"),
        tuple(rows),
        optional=("parameters", "seeds", "interpolated", "test gain in AUC", "95 % interval"),
    )  # fmt: skip


def summaries(studies: Sequence[Study]) -> dict[str, Summary]:
    """Over the models of each data set, where there are several sets, and over all; none for a single comparison."""
    sets = list(dict.fromkeys(one.comparison.dataset for one in studies))
    groups = {name: [one for one in studies if one.comparison.dataset == name] for name in sets if len(sets) > 1}
    found = {}
    for name, group in {**groups, "all": list(studies)}.items():
        ratios = [one.headline for one in group if one.headline is not None]
        if len(ratios) > 1:
            found[name] = Summary.of(ratios)
    return found


def _summary_rows(name: str, one: Summary) -> Iterator[tuple[str, ...]]:
    missed = f"; {one.comparisons - one.reached} not reached" if one.reached < one.comparisons else ""
    bound = "≥ " if one.is_bound else ""
    rows = {
        f"{name}: mean (of {one.reached}{missed})": (one.mean, one.interpolated_mean),
        f"{name}: maximum": (one.maximum, one.interpolated_maximum),
    }
    for title, (ratio, between) in rows.items():
        value = NONE if ratio is None else bound + formatting.times(ratio)
        yield title, "", "", value, "", formatting.times(between), "", "", ""


def every_ratio(study: Study) -> View | None:
    """The size ratio at each width of the single table."""
    if len(study.ratios) < 2:
        return None
    return View(
        "Size ratio at every d_ref",
        "As above, for each width of the single table.",
        ("d_ref", "single's validation AUC", "smallest MLET d", "ratio", "95 % interval", "interpolated d",
         "interpolated ratio", "its 95 % interval", "test gain in AUC"),
        tuple(
            (str(one.ref_dim), f"{one.valid_auc:.4f}",
             NONE if one.reached is None else str(one.reached.dim),
             "not reached" if one.reached is None else formatting.times(one.ratio),
             formatting.interval_of_ratio(one.ci95),
             NONE if one.reached is None else f"{one.reached.interpolated:.1f}",
             formatting.times(one.interpolated_ratio), formatting.interval_of_ratio(one.interpolated_ci95),
             formatting.gain(one.test))
            for one in study.ratios
        ),
    )  # fmt: skip

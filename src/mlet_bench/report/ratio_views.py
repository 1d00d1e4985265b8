"""The tables of size ratios."""

from collections.abc import Sequence
from statistics import fmean

from mlet_bench.report import numbers
from mlet_bench.report.numbers import NONE
from mlet_bench.report.study import Study
from mlet_bench.report.views import View


def size(studies: Sequence[Study]) -> View | None:
    """The headline size ratio of every comparison, then their mean and maximum."""
    with_ratio = [one for one in studies if one.headline is not None]
    if not with_ratio:
        return None
    rows = []
    for one in with_ratio:
        ratio = one.headline
        assert ratio is not None
        if ratio.reached is None or ratio.cell is None:
            reached, value, between = "not reached", f"< {numbers.times(ratio.ref_dim / ratio.widest)}", NONE
        else:
            reached = ratio.cell.label
            value = ("≥ " if ratio.reached.is_smallest_tried else "") + numbers.times(ratio.ratio)
            between = numbers.times(ratio.interpolated_ratio)
        rows.append(
            (one.comparison.title, str(ratio.ref_dim), reached, value, numbers.interval_of_ratio(ratio.ci95), between,
             numbers.gain(ratio.test), numbers.times(ratio.parameters), str(ratio.seeds))
        )  # fmt: skip
    for name, value in summary(studies).items():
        rows.append((name, "", "", value, "", "", "", "", ""))
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


def summary(studies: Sequence[Study]) -> dict[str, str]:
    """Mean and maximum of the ratios, by data set where there are several, and over all."""
    found = {}
    datasets = list(dict.fromkeys(one.comparison.dataset for one in studies))
    for name in [*(datasets if len(datasets) > 1 else []), None]:
        headlines = [one.headline for one in studies if one.headline and name in (None, one.comparison.dataset)]
        reached = [one for one in headlines if one.ratio is not None]
        if len(headlines) < 2:
            continue
        missed = f"; {len(headlines) - len(reached)} not reached" if len(reached) < len(headlines) else ""
        ratios = [one.ratio or 0.0 for one in reached]
        bound = "≥ " if any(one.reached and one.reached.is_smallest_tried for one in reached) else ""
        found[f"{name or 'all'}: mean (of {len(reached)}{missed})"] = (
            bound + numbers.times(fmean(ratios)) if ratios else NONE
        )
        found[f"{name or 'all'}: maximum"] = bound + numbers.times(max(ratios)) if ratios else NONE
    return found


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
             "not reached" if one.reached is None else numbers.times(one.ratio),
             numbers.interval_of_ratio(one.ci95),
             NONE if one.reached is None else f"{one.reached.interpolated:.1f}",
             numbers.times(one.interpolated_ratio), numbers.interval_of_ratio(one.interpolated_ci95),
             numbers.gain(one.test))
            for one in study.ratios
        ),
    )  # fmt: skip

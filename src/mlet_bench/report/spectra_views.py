"""The table of what spectra.jsonl says of each arm."""

from mlet_bench.analysis.formatting import NONE
from mlet_bench.analysis.spectra import SpectrumTrace, traced
from mlet_bench.analysis.study import Study
from mlet_bench.report.views import View


def updates(study: Study) -> View | None:
    """Effective rank and balance at start and end, and the steps that were looked at; None without spectra."""
    found = traced(study.comparison)
    if not found:
        return None
    return View(
        f"Spectra and updates: field {found[0].field}",
        "Means over seeds and over the steps that were looked at, one after each evaluation. Effective rank of E, and "
        "‖W1ᵀW1 − W2W2ᵀ‖ over the sum of both norms (0: balanced), from start to end. Absent rows: their share of the "
        "squared movement of E in a step whose batch did not hold them. The predicted update is what a step of SGD on "
        "the factors does to E by algebra: its cosine with the real update, and under SGD the relative error with and "
        "without the term in η².",
        ("embedding", "d", "k", "seeds", "effective rank", "imbalance", "absent rows", "cosine", "error",
         "first-order error"),
        tuple(_row(one) for one in found),
        optional=("seeds", "error", "first-order error", "imbalance"),
    )  # fmt: skip


def _row(one: SpectrumTrace) -> tuple[str, ...]:
    share = one.moved(lambda moved: moved.absent_share)
    return (
        one.cell.mode,
        str(one.cell.dim),
        NONE if one.cell.inner is None else str(one.cell.inner),
        str(len(one.runs)),
        " → ".join(_number(one.at(place, lambda found: found.effective_rank), ".1f") for place in (0, -1)),
        " → ".join(_number(one.at(place, lambda found: found.imbalance), ".2f") for place in (0, -1))
        if one.cell.inner is not None
        else NONE,
        NONE if share is None else f"{100 * share:.2g} %",
        _number(one.moved(lambda moved: moved.cosine), ".3f"),
        _number(one.moved(lambda moved: moved.error), ".1e"),
        _number(one.moved(lambda moved: moved.first_order_error), ".1e"),
    )


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else format(value, form)

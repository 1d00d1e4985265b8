"""The paper's claims (arXiv 2309.15881) beside what the runs of a report say, and the controls that explain them.

A difference counts as higher or lower only with five or more paired seeds whose 95 % interval leaves out 0.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from mlet_bench.analysis import formatting
from mlet_bench.analysis.arms import FROZEN, MLET, SINGLE, SVD, Arm, Cell, Comparison, auc_on_test, quality
from mlet_bench.analysis.collect import Run
from mlet_bench.analysis.size_ratio import Summary
from mlet_bench.analysis.study import Study
from mlet_bench.evaluation.buckets import RAREST
from mlet_bench.evaluation.statistics import SeedDifference, paired_by_seed
from mlet_bench.runs.result import Bucket

SEEDS = 5
"""Fewer decide nothing."""
RARE = 100
"""A bucket that begins below this training count can stand for rare items."""
OF_A_CLASS = 50
"""Test rows of either class that a bucket needs."""
MEAN_RATIO, LARGEST_RATIO = 5.8, 16.0
TIME_RATIO = 1.25
"""Training time over the single table's, of the predecessor (arXiv 2006.05623)."""

Differences = Iterable[SeedDifference | None]


@dataclass(frozen=True)
class Claim:
    claim: str
    paper: str
    """What the paper says of it; nothing of a control of ours."""
    measured: str
    holds: str
    """Whether the sentence in `claim` is true here: yes, partly, no, undecided."""


def claims(studies: Sequence[Study]) -> list[Claim]:
    """All that the runs can speak of; none where no single table stands beside MLET with k > d."""
    sharing = [one for one in studies if not _is_independent(one.comparison)]
    comparisons = [one.comparison for one in sharing]
    independent = [one.comparison for one in studies if _is_independent(one.comparison)]
    if not any(True for one in studies for _ in _pairs(one.comparison)):
        return []
    said = [
        _tallied("At equal d, MLET is better than a single table", "yes", _gains(comparisons)),
        _tallied("It gains more on rare items than on frequent ones", "yes", _rare_gains(comparisons)),
        _tallied("k matters: the best k > d is better than k = d", "yes", _over_square(comparisons)),
        *_sizes(sharing),
        _training_time(studies),
        _inference(studies),
        _tallied("Control: k = d gains too", "", _gains_of(comparisons, lambda cell: cell.inner == cell.dim)),
        _tallied("Control: k < d (plain low rank) gains too", "", _gains_of(comparisons, _is_low_rank)),
        _tallied("Control: MLET with W2 frozen at random gains too", "", _gains_of(comparisons, _is_frozen)),
        _tallied("Control: training W2 is better than freezing it", "", _over(comparisons, FROZEN)),
        _tallied("Control: MLET is better than a wide table cut to d by SVD", "", _over(comparisons, SVD)),
        _tallied("Control: it gains where categories share nothing", "", _gains(independent)),
        _tallied("Control: the single table gains by its own tuning", "", _by_tuning(comparisons)),
    ]
    return [one for one in said if one is not None]


def _tallied(claim: str, paper: str, differences: Differences) -> Claim | None:
    """How many differences are decided, and their mean; None without any."""
    found = [one for one in differences if one is not None]
    if not found:
        return None
    verdicts = [one.verdict if one.n >= SEEDS else "undecided" for one in found]
    higher, lower = verdicts.count("higher"), verdicts.count("lower")
    counts = f"higher in {higher} of {len(found)}, lower in {lower}, undecided in {verdicts.count('undecided')}"
    few = min(one.n for one in found)
    seeds = "" if few >= SEEDS else f" ({few} seed{'s' * (few > 1)})"
    mean = f"{formatting.signed(fmean(one.mean for one in found))} AUC on average{seeds}"
    return Claim(claim, paper, f"{counts}; {mean}", _holds(higher, lower, len(found)))


def _holds(higher: int, lower: int, of: int) -> str:
    """
    >>> _holds(5, 0, 8), _holds(5, 1, 8), _holds(0, 2, 8), _holds(0, 0, 8)
    ('yes', 'partly', 'no', 'undecided')
    """
    if not higher:
        return "no" if lower else "undecided"
    return "yes" if not lower and higher > of / 2 else "partly"


def _is_independent(comparison: Comparison) -> bool:
    """Generated rows whose categories share no structure."""
    return any(run.config.get("dataset.structure") == "independent" for run in comparison.runs)


def _is_low_rank(cell: Cell) -> bool:
    return cell.mode == MLET and cell.inner is not None and cell.inner < cell.dim


def _is_frozen(cell: Cell) -> bool:
    return cell.mode == FROZEN


def _pairs(comparison: Comparison) -> Iterator[tuple[Arm, Arm]]:
    """For each d the single table, and of MLET with k > d the arm that is best on validation."""
    for cell in comparison.cells:
        if cell.mode == SINGLE and (best := _best(comparison, cell.dim)) is not None:
            yield comparison.chosen(cell), best


def _best(comparison: Comparison, dim: int) -> Arm | None:
    cells = [one for one in comparison.cells if one.mode == MLET and one.dim == dim and (one.inner or 0) > dim]
    arms = [comparison.chosen(cell) for cell in cells]
    return max(arms, key=quality, default=None)


def _minus(one: Arm, other: Arm, of: Callable[[Run], float | None] = auc_on_test) -> SeedDifference | None:
    return paired_by_seed(one.values(of), other.values(of))


def _gains(comparisons: Iterable[Comparison]) -> Differences:
    for comparison in comparisons:
        yield from (_minus(best, single) for single, best in _pairs(comparison))


def _gains_of(comparisons: Iterable[Comparison], wanted: Callable[[Cell], bool]) -> Differences:
    """Of the arms of such cells over the single table of the same d; of MLET alone unless it asks for another mode."""
    for comparison in comparisons:
        for cell in comparison.cells:
            single = comparison.single(cell.dim)
            if single is not None and cell.mode in (MLET, FROZEN) and wanted(cell):
                yield _minus(comparison.chosen(cell), single)


def _over_square(comparisons: Iterable[Comparison]) -> Differences:
    """The best k > d minus k = d."""
    for comparison in comparisons:
        for cell in comparison.cells:
            best = _best(comparison, cell.dim)
            if cell.mode == MLET and cell.inner == cell.dim and best is not None:
                yield _minus(best, comparison.chosen(cell))


def _over(comparisons: Iterable[Comparison], mode: str) -> Differences:
    """MLET minus the control of the same d and k; with another k where that one was not tried."""
    for comparison in comparisons:
        for cell in comparison.cells:
            if cell.mode != mode:
                continue
            same = Cell(MLET, cell.dim, cell.inner)
            arm = comparison.chosen(same) if same in comparison.cells else _best(comparison, cell.dim)
            if arm is not None:
                yield _minus(arm, comparison.chosen(cell))


def _by_tuning(comparisons: Iterable[Comparison]) -> Differences:
    """The chosen settings of a single table minus those that leave its learning rate at the network's."""
    for comparison in comparisons:
        for cell in (cell for cell in comparison.cells if cell.mode == SINGLE):
            chosen = comparison.chosen(cell)
            left = [arm for arm in comparison.tried(cell) if arm.setting.emb_lr == arm.setting.lr == chosen.setting.lr]
            if left and len(comparison.tried(cell)) > 1:
                yield _minus(chosen, left[0])


def _rare_gains(comparisons: Iterable[Comparison]) -> Differences:
    """The gain in the rarest bucket that can be judged minus the gain in the most frequent one."""
    for comparison in comparisons:
        merged = any((run.config.get("dataset.min_count") or 1) != 1 for run in comparison.runs)
        for single, best in _pairs(comparison):
            ends = _ends(comparison, single)
            if ends is not None and not merged:
                rare, frequent = ends
                yield paired_by_seed(_gaps(best, single, rare), _gaps(best, single, frequent))


def _ends(comparison: Comparison, arm: Arm) -> tuple[Bucket, Bucket] | None:
    """The rarest and the most frequent bucket with enough rows of either class, of the item field if it has them."""
    first = next(iter(arm.runs.values()))
    for field in (comparison.item_field, RAREST):
        fit = [
            one
            for one in first.result.buckets
            if one.field == field and one.min_count > 0 and min(one.positives, one.rows - one.positives) >= OF_A_CLASS
        ]
        fit.sort(key=lambda one: one.min_count)
        if len(fit) > 1 and fit[0].min_count < RARE:
            return fit[0], fit[-1]
    return None


def _gaps(one: Arm, other: Arm, bucket: Bucket) -> dict[int, float]:
    """By seed."""

    def auc(run: Run) -> float | None:
        same = (found for found in run.result.buckets if (found.field, found.bucket) == (bucket.field, bucket.bucket))
        return next((found.auc for found in same), None)

    ours, theirs = one.values(auc), other.values(auc)
    return {seed: ours[seed] - theirs[seed] for seed in ours.keys() & theirs.keys()}


def _sizes(studies: Sequence[Study]) -> Iterator[Claim]:
    """The size ratios at the largest d of the single table."""
    headed = [(one, one.headline) for one in studies if one.headline is not None]
    if not headed:
        return
    found = Summary.of([ratio for _, ratio in headed])
    bounds = [ratio.ref_dim / min(_mlet_dims(one.comparison), default=ratio.ref_dim) for one, ratio in headed]
    most = formatting.times(max(bounds))
    reached = f"reached in {found.reached} of {found.comparisons}; these widths can show {most} at most"
    decided = min(ratio.seeds for _, ratio in headed) >= SEEDS
    everywhere = found.reached == found.comparisons
    for claim, paper, wanted, value, bound, enough in (
        ("Equal quality with smaller embeddings, on average", f"{MEAN_RATIO}×", MEAN_RATIO, found.mean, fmean(bounds),
         everywhere),
        ("Equal quality with smaller embeddings, at most", f"{LARGEST_RATIO:.0f}×", LARGEST_RATIO, found.maximum,
         max(bounds), found.reached > 0),
    ):  # fmt: skip
        holds = "no"
        if not decided or (enough and value is not None and bound <= value < wanted):
            holds = "undecided"
        elif enough and value is not None and value >= wanted:
            holds = "yes"
        at_least = "≥ " * found.is_bound
        shown = "not reached" if value is None else f"{at_least}{formatting.times(value)} where reached"
        yield Claim(claim, paper, f"{shown}; {reached}", holds)


def _mlet_dims(comparison: Comparison) -> list[int]:
    return [cell.dim for cell in comparison.cells if cell.mode == MLET]


def _training_time(studies: Sequence[Study]) -> Claim | None:
    spreads = [
        cost.time_ratio
        for one in studies
        for cost in one.costs
        if cost.cell.mode == MLET and (cost.cell.inner or 0) > cost.cell.dim
    ]
    ratios = [one.mean for one in spreads if one.mean is not None]
    if not ratios:
        return None
    mean = fmean(ratios)
    ends = f"{min(ratios) - 1:+.0%} to {max(ratios) - 1:+.0%}"
    measured = f"{mean - 1:+.0%} on average, {ends}; of use only if nothing else ran"
    holds = "yes" if mean <= TIME_RATIO else "no"
    if min(one.n for one in spreads) < SEEDS:
        holds = "undecided"
    return Claim("Training takes at most a quarter longer (2020)", "+25 %", measured, holds)


def _inference(studies: Sequence[Study]) -> Claim | None:
    """Bytes after collapse beside the single table's, and what collapse changed."""
    pairs = [pair for one in studies for pair in _pairs(one.comparison)]
    runs = [run.result.collapse for _, best in pairs for run in best.runs.values()]
    moved = [one.max_abs_logit_diff for one in runs if one.max_abs_logit_diff is not None]
    if not runs:
        return None
    sizes = [
        {run.result.collapse.embedding_bytes_inference for arm in pair for run in arm.runs.values()} for pair in pairs
    ]
    equal = all(len(one) == 1 for one in sizes)
    size = "the single table's bytes" if equal else "other bytes than the single table's"
    logits = f"; a logit moved by {max(moved):.1g} at most" if moved else ""
    return Claim("After collapse, inference costs no more", "yes", f"{size}{logits}", "yes" if equal else "no")

"""The paper's claims (arXiv 2309.15881) beside what the runs of a report show, and the controls that explain them.

A difference counts as higher or lower only with five or more paired seeds and a 95 % interval that excludes 0. "MLET"
is the method with k > d; of several k the best on validation counts.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from mlet_bench.analysis import formatting
from mlet_bench.analysis.collect import Run
from mlet_bench.analysis.comparisons import RunGroup, StudyComparison, auc_on_test, quality
from mlet_bench.analysis.size_ratio import Summary
from mlet_bench.analysis.study import Study
from mlet_bench.analysis.variants import SVD, EmbeddingVariant
from mlet_bench.evaluation.buckets import RAREST
from mlet_bench.evaluation.statistics import DECIDING_SEEDS, SeedDifference, Spread, paired_by_seed
from mlet_bench.runs.result import Bucket

RARE = 100
"""A bucket that begins below this training count can stand for rare items."""
OF_A_CLASS = 50
"""Test rows of either class that a bucket needs."""
MEAN_RATIO, LARGEST_RATIO = 5.8, 16.0
"""Of sizes at equal quality, over the paper's models."""
TIME_RATIO = 1.25
"""Training time over the standard embedding's, of the predecessor (arXiv 2006.05623)."""


@dataclass(frozen=True)
class Claim:
    claim: str
    paper: str
    """What the paper says of it; nothing of a control of ours."""
    measured: str
    holds: str
    """Whether the sentence in `claim` is true here: yes, partly, no, undecided."""


Differences = dict[str, list[SeedDifference]]
"""Of each data set."""


PAPER = {
    "gain": "At equal d, MLET is better than the standard embedding",
    "rare gain": "It gains more on rare items than on frequent ones",
    "over square": "k matters: the best k > d is better than k = d",
}
CONTROLS = {
    "square gain": "Control: k = d gains too",
    "low rank gain": "Control: k < d (plain low rank) gains too",
    "frozen gain": "Control: MLET with W2 frozen at random gains too",
    "over frozen": "Control: training W2 is better than freezing it",
    "over svd": "Control: MLET is better than a wide table truncated to d by SVD",
    "independent gain": "Control: it gains where categories share nothing",
    "tuning gain": "Control: the standard embedding gains from tuning",
}


def claims(studies: Sequence[Study]) -> list[Claim]:
    """Every claim that the runs can test; none without a standard embedding and MLET with k > d."""
    pairs = [pair for study in studies for pair in _pairs(study.comparison)]
    if not pairs:
        return []
    sets = _data_sets(studies)
    differences: dict[str, Differences] = {name: {where: [] for where in sets} for name in PAPER | CONTROLS}
    for where, own in sets.items():
        for study in own:
            for name, difference in _differences(study.comparison):
                if difference is not None and not _is_independent(study):
                    differences[name][where].append(difference)
                elif difference is not None and name == "gain":
                    differences["independent gain"][where].append(difference)
    shared = {where: [study for study in own if not _is_independent(study)] for where, own in sets.items()}
    return [
        *(entry for name, claim in PAPER.items() for entry in _tallied(claim, "yes", differences[name])),
        *_each({where: list(_sizes(own)) for where, own in shared.items()}),
        *_each({where: list(_training_time(own)) for where, own in sets.items()}),
        _inference(pairs),
        *(entry for name, claim in CONTROLS.items() for entry in _tallied(claim, "", differences[name])),
    ]


def _data_sets(studies: Sequence[Study]) -> dict[str, list[Study]]:
    """Studies of the same rows: a smoke test and a real run are two sets, told apart by their training rows."""
    tasks = {study.comparison.task[:1] + study.comparison.task[3:4] for study in studies}
    names = Counter(name for name, _ in tasks)
    sets: dict[str, list[Study]] = {}
    for study in studies:
        task = study.comparison.task
        rows = study.comparison.runs[0].result.dataset.rows.get("train", 0)
        where = task.dataset if names[task.dataset] == 1 else f"{task.dataset}, {rows:,} rows, {task.fingerprint}"
        sets.setdefault(where, []).append(study)
    return sets


def _each(by_set: Mapping[str, Sequence[Claim]]) -> Iterator[Claim]:
    """Claims of each data set; named by it where there are several."""
    several = sum(bool(own) for own in by_set.values()) > 1
    for where, own in by_set.items():
        yield from (replace(claim, claim=f"{claim.claim}: {where}") if several else claim for claim in own)


def _differences(comparison: StudyComparison) -> Iterator[tuple[str, SeedDifference | None]]:
    """Of test AUC, each with the name of the claim that it speaks of."""
    for group in comparison.chosen_groups:
        variant = group.variant
        if variant.bits is not None:
            continue
        dim, inner = variant.dim, variant.inner
        single, mlet = comparison.baseline(dim), _best(comparison, dim)
        is_frozen = variant.is_control and variant.mode != SVD
        if single is not None and inner is not None and (variant.is_method or is_frozen):
            gain = group.minus(single, auc_on_test)
            if inner == dim:
                yield "square gain", gain
            if inner < dim and variant.is_method:
                yield "low rank gain", gain
            if is_frozen:
                yield "frozen gain", gain
        if variant.is_control:
            same = (other for other in comparison.chosen_groups if other.variant.is_method)
            trained = next((other for other in same if (other.variant.dim, other.variant.inner) == (dim, inner)), mlet)
            if trained is not None:  # with another k where that of the control was not tried
                yield "over frozen" if is_frozen else "over svd", trained.minus(group, auc_on_test)
        if variant.is_method and inner == dim and mlet is not None:
            yield "over square", mlet.minus(group, auc_on_test)
        if variant.is_baseline and mlet is not None:
            yield "gain", mlet.minus(group, auc_on_test)
            yield "rare gain", _rare_gain(comparison, mlet, group)
        if variant.is_baseline:
            tried = comparison.tried(variant)
            left = [other for other in tried if other.tuned.emb_lr == other.tuned.lr == group.tuned.lr]
            if left and len(tried) > 1:  # beside the setting that leaves its learning rate at the network's
                yield "tuning gain", group.minus(left[0], auc_on_test)


def _tallied(claim: str, paper: str, differences: Differences) -> Iterator[Claim]:
    """How many differences of each data set are decided, and their mean; of several sets, then the count alone."""
    known = {where: own for where, own in differences.items() if own}
    yield from _each({where: [_tally(claim, paper, own)] for where, own in known.items()})
    if len(known) > 1:
        every = _tally(claim, paper, [difference for own in known.values() for difference in own])
        yield replace(every, claim=f"{claim}: all", measured=every.measured.partition("; ")[0])


def _tally(claim: str, paper: str, known: Sequence[SeedDifference]) -> Claim:
    verdicts = [difference.verdict for difference in known]
    higher, lower = verdicts.count("higher"), verdicts.count("lower")
    counts = f"higher in {higher} of {len(known)}, lower in {lower}, undecided in {verdicts.count('undecided')}"
    fewest = min(difference.n for difference in known)
    seeds = "" if fewest >= DECIDING_SEEDS else f" ({fewest} seed{'s' * (fewest > 1)})"
    mean = f"{formatting.signed(fmean(difference.mean for difference in known))} AUC on average{seeds}"
    return Claim(claim, paper, f"{counts}; {mean}", _holds(higher, lower, len(known)))


def _holds(higher: int, lower: int, of: int) -> str:
    """
    >>> _holds(5, 0, 8), _holds(5, 1, 8), _holds(0, 2, 8), _holds(0, 0, 8)
    ('yes', 'partly', 'no', 'undecided')
    """
    if not higher:
        return "no" if lower else "undecided"
    return "yes" if not lower and higher > of / 2 else "partly"


def _is_independent(study: Study) -> bool:
    """Generated rows whose categories share no structure."""
    return any(run.config.get("dataset.structure") == "independent" for run in study.comparison.runs)


def _is_mlet(variant: EmbeddingVariant) -> bool:
    return variant.is_method and variant.inner is not None and variant.inner > variant.dim


def _pairs(comparison: StudyComparison) -> Iterator[tuple[RunGroup, RunGroup]]:
    """For each d the standard embedding, and the best of MLET."""
    for group in comparison.chosen_groups:
        mlet = _best(comparison, group.variant.dim)
        if group.variant.is_baseline and mlet is not None:
            yield group, mlet


def _best(comparison: StudyComparison, dim: int) -> RunGroup | None:
    groups = [group for group in comparison.chosen_groups if group.variant.dim == dim and _is_mlet(group.variant)]
    return max(groups, key=quality, default=None)


def _rare_gain(comparison: StudyComparison, mlet: RunGroup, single: RunGroup) -> SeedDifference | None:
    """The gain in the rarest bucket with enough rows minus the gain in the most frequent one."""
    ends = _ends(comparison, single)
    merged = any((run.config.get("dataset.min_count") or 1) != 1 for run in comparison.runs)
    return None if ends is None or merged else paired_by_seed(*(_gaps(mlet, single, bucket) for bucket in ends))


def _ends(comparison: StudyComparison, group: RunGroup) -> tuple[Bucket, Bucket] | None:
    """The rarest and the most frequent bucket with enough rows of either class, of the item field if it has them."""
    for field in (comparison.item_field, RAREST):
        fit = [
            bucket
            for bucket in group.first.result.buckets
            if bucket.field == field
            and bucket.lowest > 0
            and min(bucket.positives, bucket.rows - bucket.positives) >= OF_A_CLASS
        ]
        fit.sort(key=lambda bucket: bucket.lowest)
        if len(fit) > 1 and fit[0].lowest < RARE:
            return fit[0], fit[-1]
    return None


def _gaps(group: RunGroup, other: RunGroup, bucket: Bucket) -> dict[int, float]:
    """By seed."""

    def auc(run: Run) -> float | None:
        own = run.buckets.get((bucket.field, bucket.bucket))
        return None if own is None else own.auc

    ours, theirs = group.values(auc), other.values(auc)
    return {seed: ours[seed] - theirs[seed] for seed in ours.keys() & theirs.keys()}


def _sizes(studies: Sequence[Study]) -> Iterator[Claim]:
    """The size ratios at the largest d of the standard embedding."""
    ratios, bounds = [], []
    for study in studies:
        if study.headline is not None:
            dims = [variant.dim for variant in study.comparison.variants if variant.is_method]
            ratios.append(study.headline)
            bounds.append(study.headline.ref_dim / min(dims))
    if not ratios:
        return
    summary = Summary.of("all", ratios)
    most = formatting.ratio(max(bounds))
    reached = f"reached in {summary.reached} of {summary.comparisons}; these widths can show at most {most}"
    decided = min(ratio.seeds for ratio in ratios) >= DECIDING_SEEDS
    everywhere = summary.reached == summary.comparisons
    for which, paper, wanted, value, bound, enough in (
        ("on average", f"{MEAN_RATIO}×", MEAN_RATIO, summary.mean, fmean(bounds), everywhere),
        ("at most", f"{LARGEST_RATIO:.0f}×", LARGEST_RATIO, summary.maximum, max(bounds), summary.reached > 0),
    ):
        holds = "no"
        if not decided or (enough and value is not None and bound <= value < wanted):
            holds = "undecided"
        elif enough and value is not None and value >= wanted:
            holds = "yes"
        at_least = "≥ " * summary.is_bound
        shown = "not reached" if value is None else f"{at_least}{formatting.ratio(value)} where reached"
        yield Claim(f"Equal quality with smaller embeddings, {which}", paper, f"{shown}; {reached}", holds)


def _training_time(studies: Sequence[Study]) -> Iterator[Claim]:
    results = [result for study in studies for result in study.chosen if _is_mlet(result.variant)]
    spreads = [result.time_ratio or Spread.of([]) for result in results]
    ratios = [spread.mean for spread in spreads if spread.mean is not None]
    if not ratios:
        return
    mean = fmean(ratios)
    average, least, most = (formatting.percent(value - 1) for value in (mean, min(ratios), max(ratios)))
    measured = f"{average} on average, {least} to {most}; meaningful only if nothing else ran"
    holds = "yes" if mean <= TIME_RATIO else "no"
    if min(spread.n for spread in spreads) < DECIDING_SEEDS:
        holds = "undecided"
    yield Claim("Training takes at most a quarter longer (2020)", "+25 %", measured, holds)


def _inference(pairs: Sequence[tuple[RunGroup, RunGroup]]) -> Claim:
    """Bytes after collapse beside the standard embedding's, and what collapse changed."""
    changes = [run.result.collapse.max_abs_logit_diff for _, mlet in pairs for run in mlet.runs.values()]
    sizes = [
        {run.result.collapse.embedding_bytes_inference for group in pair for run in group.runs.values()}
        for pair in pairs
    ]
    equal = all(len(of_pair) == 1 for of_pair in sizes)
    size = "the same bytes as the standard embedding" if equal else "not the bytes of the standard embedding"
    largest = max((change for change in changes if change is not None), default=None)
    logits = "" if largest is None else f"; logits changed by at most {largest:.1g}"
    return Claim("After collapse, inference costs no more", "yes", f"{size}{logits}", "yes" if equal else "no")

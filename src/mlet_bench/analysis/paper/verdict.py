"""What the two readings mean for a reader who has to decide, in sentences; every number comes from these runs."""

from collections.abc import Sequence
from statistics import fmean

from mlet_bench.analysis.comparisons import auc_on_test
from mlet_bench.analysis.formatting import signed
from mlet_bench.analysis.paper.readings import ExperimentRuns, Reading, mlet
from mlet_bench.analysis.paper.rows import INNER, WIDTHS
from mlet_bench.analysis.variants import EmbeddingVariant
from mlet_bench.evaluation.statistics import SeedDifference

OPTIMISERS = {"sgd": "SGD", "adagrad": "Adagrad"}


def verdict(found: Sequence[ExperimentRuns]) -> list[str]:
    """A sentence for each optimiser and reading, then what follows; none where no experiment has both readings."""
    sentences, remains = [], []
    for name, label in OPTIMISERS.items():
        runs = [one for one in found if one.experiment.optimizer == name]
        published = [gain for one in runs for gain in _gains(one.published)]
        own = [gain for one in runs for gain in _gains(one.own_rate)]
        if not published or not own:
            continue
        remains += own
        sentences.append(f"{label}, one learning rate for everything: MLET with k = {INNER} is {_counted(published)}.")
        tuned = [gain for one in runs for gain in _tuning(one)]
        sentences.append(
            f"{label}, a tuned table rate for each: MLET is {_counted(own)}; the rate alone gave the standard "
            f"embedding {signed(fmean(gain.mean for gain in tuned))} on average, with the same bytes and no longer "
            "training."
        )
    if not remains:
        return []
    higher = sum(gain.verdict == "higher" for gain in remains)
    lower = sum(gain.verdict == "lower" for gain in remains)
    if higher > lower:
        last = f"A gain remains in {higher} of {len(remains)} comparisons; there MLET is worth its longer training."
    else:
        last = "Tune emb.lr first: here it gives the standard embedding what MLET gives, at no cost."
    return [*sentences, last]


def _gains(reading: Reading) -> list[SeedDifference]:
    gains = (reading.gain(mlet(dim, INNER)) for dim in WIDTHS)
    return [gain for gain in gains if gain is not None and gain.n > 1]


def _tuning(runs: ExperimentRuns) -> list[SeedDifference]:
    """What its own rate gave the standard embedding, paired by seed."""
    gains = []
    for dim in WIDTHS:
        single = EmbeddingVariant.baseline(dim)
        before, after = runs.published.groups.get(single), runs.own_rate.groups.get(single)
        gain = None if before is None or after is None else after.minus(before, auc_on_test)
        gains += [] if gain is None else [gain]
    return gains


def _counted(gains: Sequence[SeedDifference]) -> str:
    """
    >>> _counted([SeedDifference(5, 0.01, ci95=(0.005, 0.015)), SeedDifference(5, -0.002, ci95=(-0.01, 0.006))])
    'higher in 1 of 2 comparisons, lower in 0, undecided in 1, by +0.0040 AUC on average'
    """
    higher, lower = (sum(gain.verdict == way for gain in gains) for way in ("higher", "lower"))
    mean = fmean(gain.mean for gain in gains)
    undecided = len(gains) - higher - lower
    return (
        f"higher in {higher} of {len(gains)} comparisons, lower in {lower}, undecided in {undecided}, by "
        f"{signed(mean)} AUC on average"
    )

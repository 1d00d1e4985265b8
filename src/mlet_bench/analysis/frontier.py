"""Quality against the bytes that are served: a curve for each way to make embeddings, and the Pareto front."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlet_bench.analysis.comparisons import Number, auc_on_test
from mlet_bench.analysis.study import GroupResult, Study, peak_bytes
from mlet_bench.analysis.variants import EmbeddingVariant
from mlet_bench.evaluation.buckets import LOWEST_TENTH, POPULARITY
from mlet_bench.evaluation.statistics import Spread

SHARES = (0.1, 0.01)
"""Of the full table's bytes, at which methods are compared."""


@dataclass(frozen=True)
class Point:
    """A chosen embedding of a comparison."""

    result: GroupResult
    full: GroupResult
    """The standard embedding of the most bytes."""

    @property
    def variant(self) -> EmbeddingVariant:
        return self.result.variant

    @property
    def method(self) -> str:
        return method(self.variant)

    @property
    def bytes(self) -> int:
        return self.result.sizes.embedding_bytes_inference

    @property
    def share(self) -> float:
        """Of the full table's bytes."""
        return self.bytes / self.full.sizes.embedding_bytes_inference

    def spread(self, number: Number) -> Spread:
        return self.result.group.spread(number)

    @property
    def seconds(self) -> Spread:
        return self.spread(lambda run: run.result.train.seconds)

    @property
    def peak_memory(self) -> Spread:
        return self.spread(peak_bytes)


@dataclass(frozen=True)
class MethodSummary:
    """What a method needs for the full table's quality, and what it reaches at a share of its bytes."""

    method: str
    points: tuple[Point, ...]
    """In the order of their bytes."""

    @property
    def full(self) -> GroupResult:
        return self.points[0].full

    @property
    def bytes_at_full_quality(self) -> int | None:
        """The fewest bytes with which the mean test AUC is that of the full table or higher."""
        wanted = self.full.auc.mean
        enough = [
            point.bytes
            for point in self.points
            if wanted is not None and (mean := point.spread(auc_on_test).mean) is not None and mean >= wanted
        ]
        return min(enough, default=None)

    def at(self, share: float) -> Point | None:
        """The best on test of those that serve no more than this share of the full table's bytes."""
        small = [point for point in self.points if point.share <= share * 1.0001]
        return max(small, key=lambda point: point.spread(auc_on_test).mean or 0.0, default=None)


def method(variant: EmbeddingVariant) -> str:
    """The name of a curve over bytes, whatever the width and the ratio.

    >>> method(EmbeddingVariant("hash 0.1", 16, 64)), method(EmbeddingVariant("single", 4, None, bits=8))
    ('hash × MLET, k = 64', 'single, 8 bits')
    >>> method(EmbeddingVariant("lpt 0.5", 16, None, bits=8, own="bits=8"))
    'lpt, 8 bits'
    """
    mode, inner = variant.kind, variant.inner
    if inner is not None:
        mode = f"{mode}, k = {inner}" if mode.startswith("mlet") else f"{mode} × MLET, k = {inner}"
    mode = f"{mode}, {variant.own_but_bits}" if variant.own_but_bits else mode
    return mode if variant.bits is None else f"{mode}, {variant.bits} bits"


def frontier(study: Study) -> list[Point]:
    """Points of all methods, where more than one and other modes than the paper's ran beside a standard embedding."""
    chosen = [row for row in study.chosen if not row.variant.is_control and row.auc.mean is not None]
    singles = [row for row in chosen if row.variant.is_baseline]
    trained = [row.variant for row in chosen if row.variant.is_trained]
    if not singles or all(variant.is_baseline or variant.is_method for variant in trained):
        return []
    full = max(singles, key=lambda row: row.sizes.embedding_bytes_inference)
    by_bytes = sorted(chosen, key=lambda row: (row.sizes.embedding_bytes_inference, -(row.auc.mean or 0.0)))
    return [Point(row, full) for row in by_bytes]


def front(points: Sequence[Point], number: Number, *, low: bool = False) -> list[Point]:
    """The Pareto front: nobody serves fewer bytes, or as many, with a mean as high, or as `low`."""
    means = [(point, point.spread(number).mean) for point in points]
    known = [(point, mean if low else -mean) for point, mean in means if mean is not None]
    found: list[Point] = []
    best = math.inf
    for point, cost in sorted(known, key=lambda one: (one[0].bytes, one[1])):
        if cost < best:
            found.append(point)
            best = cost
    return found


def summaries(points: Sequence[Point]) -> list[MethodSummary]:
    """A row for each method, standard embeddings first."""
    methods = dict.fromkeys(point.method for point in sorted(points, key=lambda point: point.variant.order))
    return [MethodSummary(name, tuple(point for point in points if point.method == name)) for name in methods]


def lowest_tenth_auc(study: Study) -> Number:
    """AUC on the tenth of the test rows whose categories training saw least."""
    key = POPULARITY, LOWEST_TENTH
    return lambda run: run.buckets[key].auc if key in run.buckets else None

"""Metrics split by how often a row's categories occurred in the training split.

R rows, F sparse fields, G = F + 1 of them with `rarest`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlet_bench.data import Split
from mlet_bench.evaluation.gauc import group_auc
from mlet_bench.evaluation.metrics import Scored, metrics

RAREST = "rarest"
"""The pseudo-field of the smallest count over a row's fields."""
POPULARITY = "popularity"
"""The pseudo-field of the product of the counts of a row's categories, whose buckets are tenths of the rows."""
LOWEST_TENTH, HIGHEST_TENTH = "lowest tenth", "highest tenth"
TENTHS = (LOWEST_TENTH, "2nd tenth", "3rd tenth", *(f"{place}th tenth" for place in range(4, 10)), HIGHEST_TENTH)
"""Of the paper (arXiv 2309.15881) the lowest is set B, the highest set A."""


@dataclass(frozen=True)
class EvalRows:
    """What a split's rows are evaluated by, beside their logits."""

    label_R: np.ndarray
    bucket_RG: np.ndarray
    """uint8; the bucket of each field and, last, of the rarest: 0 for never seen, then as the edges rise."""
    tenth_R: np.ndarray
    """uint8; 0 for the tenth of the rows with the least popular categories, up to 9."""
    true_logit_R: np.ndarray | None
    group_R: np.ndarray | None = None
    """int32; the id of the field that groups the rows, where one does."""

    @classmethod
    def of(cls, pieces: Iterable[Split], edges: Sequence[int], group: int | None = None) -> "EvalRows":
        """From a split's pieces, which come with their counts; `group` is the place of the field that groups rows."""
        labels, buckets, popularities, truths, groups = [], [], [], [], []
        for piece in pieces:
            assert piece.counts_BF is not None
            labels.append(piece.label_B)
            buckets.append(buckets_of(piece.counts_BF, edges))
            popularities.append(popularity(piece.counts_BF))
            if piece.true_logit_B is not None:
                truths.append(piece.true_logit_B)
            if group is not None:
                groups.append(piece.ids_BF[:, group].copy())  # a view would hold the ids of all fields
        whole = [np.concatenate(arrays) if arrays else None for arrays in (truths, groups)]
        return cls(np.concatenate(labels), np.concatenate(buckets), tenths_of(np.concatenate(popularities)), *whole)


def buckets_of(counts_BF: np.ndarray, edges: Sequence[int]) -> np.ndarray:
    """bucket_BG (uint8), G = F + 1.

    >>> buckets_of(np.array([[0, 3], [12, 10]]), [1, 10]).tolist()
    [[0, 1, 0], [2, 2, 2]]
    """
    counts_BG = np.concatenate([counts_BF, counts_BF.min(1, keepdims=True)], 1)
    return np.searchsorted(edges, counts_BG, side="right").astype(np.uint8)


def popularity(counts_BF: np.ndarray) -> np.ndarray:
    """B × 2: minus the number of categories that training never saw, and the logarithm of the product of the others'
    counts."""
    seen_BF = counts_BF > 0
    log_B = np.log(np.maximum(counts_BF, 1)).sum(1)
    return np.stack([seen_BF.sum(1) - counts_BF.shape[1], log_B], 1)


def tenths_of(popularity_R2: np.ndarray) -> np.ndarray:
    """tenth_R (uint8): rows in the order of the product of their categories' training counts, divided into tenths.

    A product is 0 where a category was never seen. Such rows are ordered by how many were not, then by the product of
    the other counts; rows that are still equal keep their order in the split.

    >>> tenths_of(popularity(np.array([[1, 1], [0, 9], [0, 0], [5, 2], [2, 5]] * 2))).tolist()
    [4, 2, 0, 6, 7, 5, 3, 1, 8, 9]
    """
    order_R = np.lexsort((popularity_R2[:, 1], popularity_R2[:, 0]))
    tenth_R = np.empty(len(order_R), np.uint8)
    tenth_R[order_R] = np.arange(len(order_R)) * 10 // max(len(order_R), 1)
    return tenth_R


def evaluate(
    rows: EvalRows,
    logit_R: np.ndarray,
    fields: Sequence[str],
    edges: Sequence[int],
    reserved: int = 1,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Metrics of all rows, and of the rows of every bucket that has some: by field, by `rarest`, by `popularity`.

    `edges` are the lowest counts of the buckets; below the first lies bucket 0, never seen. Where the true
    logits are known, `best_auc` and `best_logloss` are the reachable ones (oracle): those of the truth. Ids below
    `reserved` stand for no single category. A field that has the name of a pseudo-field is called `NAME (column)`.
    """
    scored, order_R = Scored.of(rows.label_R, logit_R)
    truth = None if rows.true_logit_R is None else Scored.of(rows.label_R, rows.true_logit_R)
    grouped = {} if rows.group_R is None else group_auc(scored, rows.group_R[order_R], reserved)
    whole = {**metrics(scored), **grouped, **_best(None if truth is None else truth[0])}
    buckets = []
    names = [f"{name} (column)" if name in (RAREST, POPULARITY) else name for name in fields]
    for name, bucket_R in zip([*names, RAREST, POPULARITY], [*rows.bucket_RG.T, rows.tenth_R], strict=True):
        sorted_R = bucket_R[order_R]
        for bucket in np.unique(bucket_R):
            best = _best(None if truth is None else truth[0][bucket_R[truth[1]] == bucket])
            found = {**metrics(scored[sorted_R == bucket]), **best}
            found.pop("normalized_entropy")
            limits = _tenth(int(bucket)) if name == POPULARITY else bucket_range(int(bucket), edges)
            buckets.append({"field": name, **limits, **found})
    return whole, buckets


def _tenth(tenth: int) -> dict[str, Any]:
    """As bucket_range; a product has no count that would say anything."""
    return {"bucket": TENTHS[tenth], "min_count": None, "max_count": None}


def bucket_range(bucket: int, edges: Sequence[int]) -> dict[str, Any]:
    """Name and limits of a bucket.

    >>> bucket_range(0, [1, 10]), bucket_range(1, [1, 10])["bucket"], bucket_range(2, [1, 10])["bucket"]
    ({'bucket': '0', 'min_count': 0, 'max_count': 0}, '1-9', '10+')
    """
    low = 0 if bucket == 0 else edges[bucket - 1]
    high = edges[bucket] - 1 if bucket < len(edges) else None
    name = f"{low}+" if high is None else str(low) if low == high else f"{low}-{high}"
    return {"bucket": name, "min_count": low, "max_count": high}


def _best(truth: Scored | None) -> dict[str, Any]:
    if truth is None:
        return {}
    found = metrics(truth)
    return {"best_auc": found["auc"], "best_logloss": found["logloss"]}

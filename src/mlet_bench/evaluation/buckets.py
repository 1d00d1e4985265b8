"""Metrics split by how often a row's category occurred in the training split.

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


@dataclass(frozen=True)
class EvalRows:
    """What a split's rows are judged by, beside their logits."""

    label_R: np.ndarray
    bucket_RG: np.ndarray
    """uint8; the bucket of each field and, last, of the rarest: 0 for never seen, then as the edges rise."""
    true_logit_R: np.ndarray | None
    group_R: np.ndarray | None = None
    """int32; the id of the field that groups the rows, where one does."""

    @classmethod
    def of(cls, pieces: Iterable[Split], edges: Sequence[int], group: int | None = None) -> "EvalRows":
        """From a split's pieces, which come with their counts; `group` is the place of the field that groups rows."""
        labels, buckets, truths, groups = [], [], [], []
        for piece in pieces:
            assert piece.counts_BF is not None
            labels.append(piece.label_B)
            buckets.append(buckets_of(piece.counts_BF, edges))
            if piece.true_logit_B is not None:
                truths.append(piece.true_logit_B)
            if group is not None:
                groups.append(piece.ids_BF[:, group].copy())  # a view would hold the ids of all fields
        whole = [np.concatenate(arrays) if arrays else None for arrays in (truths, groups)]
        return cls(np.concatenate(labels), np.concatenate(buckets), *whole)


def buckets_of(counts_BF: np.ndarray, edges: Sequence[int]) -> np.ndarray:
    """bucket_BG (uint8), G = F + 1.

    >>> buckets_of(np.array([[0, 3], [12, 10]]), [1, 10]).tolist()
    [[0, 1, 0], [2, 2, 2]]
    """
    counts_BG = np.concatenate([counts_BF, counts_BF.min(1, keepdims=True)], 1)
    return np.searchsorted(edges, counts_BG, side="right").astype(np.uint8)


def evaluate(
    judged: EvalRows,
    logit_R: np.ndarray,
    fields: Sequence[str],
    edges: Sequence[int],
    reserved: int = 1,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Metrics of all rows, and of the rows of every bucket that has some, field by field, `rarest` last.

    `edges` are the lowest counts of the buckets; below the first lies bucket 0, never seen. Where the true
    logits are known, `best_auc` and `best_logloss` say what the truth itself scores on the same rows. Ids below
    `reserved` stand for no single category.
    """
    scored, order_R = Scored.of(judged.label_R, logit_R)
    truth = None if judged.true_logit_R is None else Scored.of(judged.label_R, judged.true_logit_R)
    grouped = {} if judged.group_R is None else group_auc(scored, judged.group_R[order_R], reserved)
    whole = {**metrics(scored), **grouped, **_best(None if truth is None else truth[0])}
    buckets = []
    for index, name in enumerate([*fields, RAREST]):
        bucket_R = judged.bucket_RG[:, index]
        for bucket in np.unique(bucket_R):
            chosen = scored[bucket_R[order_R] == bucket]
            best = _best(None if truth is None else truth[0][bucket_R[truth[1]] == bucket])
            found = {**metrics(chosen), **best}
            found.pop("normalized_entropy")
            buckets.append({"field": name, **bucket_range(int(bucket), edges), **found})
    return whole, buckets


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

"""Metrics split by how often a row's category occurred in the training split.

R rows, F sparse fields.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlet_bench.evaluation.metrics import Scored, metrics

RAREST = "rarest"
"""The pseudo-field of the smallest count over a row's fields."""


def evaluate(
    label_R: np.ndarray,
    logit_R: np.ndarray,
    counts_RF: np.ndarray,
    fields: Sequence[str],
    edges: Sequence[int],
    true_logit_R: np.ndarray | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Metrics of all rows, and of the rows of every bucket that has some, field by field, `rarest` last.

    `edges` are the lowest counts of the buckets; below the first lies bucket 0, never seen. Where the true
    logits are known, `best_auc` and `best_logloss` say what the truth itself scores on the same rows.
    """
    scored, order_R = Scored.of(label_R, logit_R)
    truth = None if true_logit_R is None else Scored.of(label_R, true_logit_R)
    whole = {**metrics(scored), **_best(None if truth is None else truth[0])}
    buckets = []
    for index, name in enumerate([*fields, RAREST]):
        count_R = counts_RF.min(1) if name == RAREST else counts_RF[:, index]
        bucket_R = np.searchsorted(edges, count_R, side="right")
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

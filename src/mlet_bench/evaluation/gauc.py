"""AUC within the groups of one field's category, for example of each user, averaged over the rows (GAUC).

R rows, T runs of rows with equal group and equal score, G groups.
"""

from typing import Any

import numpy as np

from mlet_bench.evaluation.metrics import Scored


def group_auc(scored: Scored, id_R: np.ndarray, reserved: int) -> dict[str, Any]:
    """The mean of each group's AUC, ties counted half, weighted by its rows: eq. 6 of Zhou et al. (arXiv 1706.06978).

    id_R: the group of each row, in the order of `scored`. A group of one class has no AUC and is left out; so are the
    rows of ids below `reserved`, which stand for categories that cannot be told apart. `gauc_rows` and `gauc_groups`
    counted, `gauc_one_class_groups` and `gauc_unknown_rows` did not; `gauc` is null where no group has both classes.

    >>> scored, order = Scored.of(np.array([1, 0, 0, 1, 1]), np.array([0.5, 0.1, 0.9, 0.2, 0.3]))
    >>> group_auc(scored, np.array([7, 7, 8, 8, 9])[order], reserved=1)["gauc"]  # (2 · 1 + 2 · 0) / 4
    0.5
    """
    known_R = id_R >= reserved
    known, id_K = scored[known_R], id_R[known_R]
    order_K = np.argsort(id_K, kind="stable")  # within a group the rows stay sorted by score
    known, id_K = known[order_K], id_K[order_K]
    new_K = np.diff(id_K, prepend=-1) != 0
    tie_T = np.flatnonzero(new_K | (np.diff(known.logit_B, prepend=-np.inf) > 0))
    first_G = np.flatnonzero(new_K[tie_T])  # each group's place among the runs of ties
    positives_T = _sums(known.label_B, tie_T)
    negatives_T = np.diff(tie_T, append=len(id_K)) - positives_T
    positives_G, negatives_G = _sums(positives_T, first_G), _sums(negatives_T, first_G)
    before_G = np.cumsum(negatives_G) - negatives_G  # negatives of the groups before
    below_T = np.cumsum(negatives_T) - negatives_T / 2 - np.repeat(before_G, np.diff(first_G, append=len(tie_T)))
    won_G = _sums(positives_T * below_T, first_G)
    both_G = (positives_G > 0) & (negatives_G > 0)
    rows_G, pairs_G = (positives_G + negatives_G)[both_G], (positives_G * negatives_G)[both_G]
    rows = int(rows_G.sum())
    return {
        "gauc": float((rows_G * (won_G[both_G] / pairs_G)).sum() / rows) if rows else None,
        "gauc_rows": rows,
        "gauc_groups": len(rows_G),
        "gauc_one_class_groups": len(both_G) - len(rows_G),
        "gauc_unknown_rows": len(id_R) - len(id_K),
    }


def _sums(value_R: np.ndarray, starts_G: np.ndarray) -> np.ndarray:
    """The sum of each stretch of values, from its start to the next one's."""
    return np.asarray(np.add.reduceat(value_R, starts_G)) if len(starts_G) else np.empty(0)

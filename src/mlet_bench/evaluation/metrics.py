"""AUC, PR-AUC, logloss, normalised entropy and calibration of whole splits, from float64 arithmetic on logits.

G groups of equal scores.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Z95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


@dataclass(frozen=True)
class Scored:
    """Labels and logits of rows, sorted by logit; any selection that keeps the order is one again."""

    label_B: np.ndarray
    logit_B: np.ndarray

    @classmethod
    def of(cls, label_B: np.ndarray, logit_B: np.ndarray) -> tuple["Scored", np.ndarray]:
        """Sorted rows, and the order that sorted them."""
        order_B = np.argsort(logit_B, kind="stable")
        return cls(label_B[order_B].astype(np.float64), logit_B[order_B].astype(np.float64)), order_B

    def __getitem__(self, chosen: np.ndarray) -> "Scored":
        return Scored(self.label_B[chosen], self.logit_B[chosen])


def metrics(scored: Scored) -> dict[str, Any]:
    """auc, pr_auc and their 95 % intervals, logloss, normalized_entropy, calibration, rows and positives.

    Normalised entropy is logloss over the entropy of the rows' own click rate, calibration the mean prediction
    over it (He et al. 2014). Null is what is undefined; where AUC and PR-AUC are, `auc_reason` says why.
    """
    rows, positives = len(scored.label_B), int(scored.label_B.sum())
    found: dict[str, Any] = {"auc": None, "auc_ci95": None, "pr_auc": None, "pr_auc_ci95": None}
    if 0 < positives < rows:
        groups = Groups.of(scored)
        found["auc"], found["auc_ci95"] = auc_with_interval(groups)
        found["pr_auc"], found["pr_auc_ci95"] = pr_auc_with_interval(groups)
    else:
        found["auc_reason"] = "no rows" if rows == 0 else f"all labels are {int(positives > 0)}"
    loss = logloss(scored.label_B, scored.logit_B) if rows else None
    rate = positives / rows if rows else 0.0
    entropy = -rate * math.log(rate) - (1 - rate) * math.log1p(-rate) if 0 < rate < 1 else 0.0
    return {
        **found,
        "logloss": loss,
        "normalized_entropy": loss / entropy if loss is not None and entropy else None,
        "calibration": float(probability(scored.logit_B).mean()) / rate if rate else None,
        "rows": rows,
        "positives": positives,
    }


def probability(logit_B: np.ndarray) -> np.ndarray:
    """sigmoid in float64, without overflow."""
    x_B = logit_B.astype(np.float64)
    return np.asarray(np.exp(-np.logaddexp(0.0, -x_B)))


def logloss(label_B: np.ndarray, logit_B: np.ndarray) -> float:
    """Mean of -ln p(label), exact also where p rounds to 0 or 1."""
    x_B = logit_B.astype(np.float64)
    return float((np.logaddexp(0.0, x_B) - label_B * x_B).mean())


def auc_with_interval(groups: "Groups") -> tuple[float, list[float] | None]:
    """AUC, ties counted half, and its 95 % interval after DeLong et al. (1988).

    With one row of either class there is no interval. It speaks of the rows alone, not of the spread between seeds.
    """
    auc = groups.auc
    positives, negatives = groups.positives_G.sum(), groups.negatives_G.sum()
    if min(positives, negatives) < 2:
        return auc, None
    below = _variance(groups.below_G, groups.positives_G, auc)
    above = _variance(groups.above_G, groups.negatives_G, auc)
    half = Z95 * math.sqrt(below / positives + above / negatives)
    return auc, [max(0.0, auc - half), min(1.0, auc + half)]


def pr_auc_with_interval(groups: "Groups") -> tuple[float, list[float]]:
    """Average precision, and its 95 % interval of the logit (Boyd, Eng & Page 2013).

    Average precision is the mean over the positives of the precision among the rows scored as high as that one or
    higher: a step for each group of equal scores, nothing interpolated, as scikit-learn's average_precision_score.

    >>> groups = Groups.of(Scored.of(np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 2.0, 3.0]))[0])
    >>> round(pr_auc_with_interval(groups)[0], 6)  # 1 for the highest, 2/3 for the one in the tie
    0.833333
    """
    positives_G, rows_G = groups.positives_G[::-1], (groups.positives_G + groups.negatives_G)[::-1]
    positives = float(positives_G.sum())
    precision_G = np.cumsum(positives_G) / np.cumsum(rows_G)
    value = min(1.0, float((positives_G * precision_G).sum() / positives))
    if value == 1:
        return value, [1.0, 1.0]
    logit, error = math.log(value / (1 - value)), 1 / math.sqrt(positives * value * (1 - value))
    low, high = (1 / (1 + math.exp(-(logit + side * Z95 * error))) for side in (-1, 1))
    return value, [low, high]


@dataclass(frozen=True)
class Groups:
    """The groups of equal scores, lowest first, and DeLong's placement values, the same for all rows of a group.

    Sorting once is enough (Sun & Xu 2014), so millions of rows take seconds.
    """

    starts_G: np.ndarray
    """Position of each group's first row."""
    positives_G: np.ndarray
    negatives_G: np.ndarray
    below_G: np.ndarray
    """A positive's placement: the share of negatives below it, equal ones counted half."""
    above_G: np.ndarray
    """A negative's placement: the share of positives above it, equal ones counted half."""

    @classmethod
    def of(cls, scored: Scored) -> "Groups":
        """Both classes must occur."""
        starts_G = np.flatnonzero(np.r_[True, np.diff(scored.logit_B) > 0])
        positives_G = np.add.reduceat(scored.label_B, starts_G)
        negatives_G = np.diff(np.r_[starts_G, len(scored.label_B)]) - positives_G
        positives, negatives = positives_G.sum(), negatives_G.sum()
        below_G = (np.cumsum(negatives_G) - negatives_G / 2) / negatives
        above_G = (positives - np.cumsum(positives_G) + positives_G / 2) / positives
        return cls(starts_G, positives_G, negatives_G, below_G, above_G)

    @property
    def auc(self) -> float:
        return float((self.positives_G * self.below_G).sum() / self.positives_G.sum())


def _variance(value_G: np.ndarray, weight_G: np.ndarray, mean: float) -> float:
    count = float(weight_G.sum())
    return float((weight_G * (value_G - mean) ** 2).sum()) / (count - 1)

"""What a step does to a field's table E, beside what one step of SGD on its factors does by algebra.

With G = ∂L/∂E and learning rate η, a step of SGD on W1 and W2 takes E = W1 W2 to

    E - η (G W2ᵀW2 + W1W1ᵀ G) + η² G Eᵀ G

exactly, since W1's gradient is G W2ᵀ and W2's is W1ᵀ G; arXiv 2309.15881 explains the method by the first-order part.
A standard embedding moves by -η G. W1W1ᵀ G moves every row, also those that the batch does not hold.
N rows of a field's table, U of them in the batch, K inner width, D output width; all in float64.
"""

from typing import Any

import torch
from torch import Tensor

from mlet_bench.training.singular_values import BLOCK


class SGDRule:
    """By how much a step of SGD moves the rows of E, from its factors before the step and G of the batch's rows."""

    def __init__(self, factors: tuple[Tensor, ...], rows_U: Tensor, grad_UD: Tensor, lr: float) -> None:
        self.factors, self.rows_U, self.lr = factors, rows_U, lr
        self.near_UD = grad_UD = grad_UD.double()
        self.second_UD = torch.zeros_like(grad_UD)
        if len(factors) == 2:
            w2_KD = factors[1].double()
            self.inner_KD = factors[0][rows_U].double().t() @ grad_UD
            self.near_UD = grad_UD @ (w2_KD.t() @ w2_KD)
            self.second_UD = grad_UD @ (w2_KD.t() @ self.inner_KD)

    def block(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """The first-order part, and all of it, for rows `start` up to `stop`; both N × D."""
        first_ND = self.near_UD.new_zeros(stop - start, self.near_UD.shape[1])
        if len(self.factors) == 2:
            first_ND = self.factors[0][start:stop].double() @ self.inner_KD * -self.lr
        inside_U = (self.rows_U >= start) & (self.rows_U < stop)
        places_U = self.rows_U[inside_U] - start
        first_ND[places_U] -= self.lr * self.near_UD[inside_U]
        whole_ND = first_ND.clone()
        whole_ND[places_U] += self.lr**2 * self.second_UD[inside_U]
        return first_ND, whole_ND


def product(factors: tuple[Tensor, ...], start: int, stop: int) -> Tensor:
    """Rows `start` up to `stop` of E."""
    first_NW = factors[0][start:stop].double()
    return first_NW if len(factors) == 1 else first_NW @ factors[1].double()


def compare_step(
    before: tuple[Tensor, ...], after: tuple[Tensor, ...], rows_U: Tensor, grad_UD: Tensor, lr: float
) -> dict[str, Any]:
    """How far a step moved the rows that its batch held (`rows_U`, all different) and the others, and by the rule.

    The moves are root mean squares of the rows' lengths, the errors ‖real - predicted‖ / ‖real‖, the cosine that of
    the real and the predicted (whole) update, taken as one long vector; null where there is nothing to divide by.
    """
    rule = SGDRule(before, rows_U, grad_UD, lr)
    rows = len(before[0])
    held_N = torch.zeros(rows, dtype=torch.bool, device=rows_U.device)
    held_N[rows_U] = True
    sums = dict.fromkeys(("held", "absent", "predicted", "both", "first_order_missed", "missed"), 0.0)
    for start in range(0, rows, BLOCK):
        stop = min(start + BLOCK, rows)
        real_ND = product(after, start, stop) - product(before, start, stop)
        first_ND, whole_ND = rule.block(start, stop)
        square_N = real_ND.square().sum(1)
        sums["held"] += float(square_N[held_N[start:stop]].sum())
        sums["absent"] += float(square_N[~held_N[start:stop]].sum())
        sums["predicted"] += float(whole_ND.square().sum())
        sums["both"] += float((real_ND * whole_ND).sum())
        sums["first_order_missed"] += float((real_ND - first_ND).square().sum())
        sums["missed"] += float((real_ND - whole_ND).square().sum())
    real, held = sums["held"] + sums["absent"], len(rows_U)
    return {
        "held_rows": held,
        "absent_rows": rows - held,
        "held_rms": _root(sums["held"], held),
        "absent_rms": _root(sums["absent"], rows - held),
        "absent_share": sums["absent"] / real if real else None,
        "cosine": sums["both"] / (real * sums["predicted"]) ** 0.5 if real and sums["predicted"] else None,
        "error": _root(sums["missed"], real),
        "first_order_error": _root(sums["first_order_missed"], real),
    }


def _root(above: float, below: float) -> float | None:
    return (above / below) ** 0.5 if below else None

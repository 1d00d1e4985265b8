"""One step of training: a batch → a loss → gradients → everything moved."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from mlet_bench.models import CTRModel
from mlet_bench.training.optimisers import Optimisers
from mlet_bench.training.rows import Batch


def step(model: CTRModel, optimisers: Optimisers, batch: Batch, check: Callable[[str, Tensor], None]) -> Tensor:
    """Move the model by one batch; returns the loss without the L2 penalty.

    `check` is told the name and the value of each part of the loss before anything moves, and may raise.
    """
    ids_BF, numeric_BN, label_B = batch
    loss = F.binary_cross_entropy_with_logits(model(ids_BF, numeric_BN), label_B)
    found = loss.detach()
    check("the loss", found)
    penalty = optimisers.batch_penalty()
    if penalty is not None:
        check("the L2 penalty", penalty.detach())
        loss = loss + penalty
    loss.backward()  # type: ignore[no-untyped-call]
    optimisers.step()
    return found

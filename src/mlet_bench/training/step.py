"""One step of training: a batch → a loss → gradients → everything moved."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mlet_bench.data.batches import Batch
from mlet_bench.models import CTRModel
from mlet_bench.system.hardware import matmul_precision
from mlet_bench.system.processes import ALONE, Processes
from mlet_bench.training.optimizers import Optimizers


def step(
    model: CTRModel,
    optimizers: Optimizers,
    batch: Batch,
    check: Callable[[str, Tensor], None],
    precision: str = "float32",
    processes: Processes = ALONE,
) -> Tensor:
    """Move the model by one batch, of which each of several processes has a part; returns the loss without L2.

    With precision "bfloat16" PyTorch's autocast chooses what of the network is computed in it; weights, embeddings,
    the loss and all that moves them stay float32. With "tf32" all products of the step are taken in it, and of the step
    alone. `check` gets the name and the value of each part of the loss before anything moves, and may raise.
    """
    with matmul_precision(precision):
        return _step(model, optimizers, batch, check, precision, processes)


def _step(
    model: CTRModel,
    optimizers: Optimizers,
    batch: Batch,
    check: Callable[[str, Tensor], None],
    precision: str,
    processes: Processes,
) -> Tensor:
    ids_BF, numeric_BN, label_B = batch
    with torch.autocast(ids_BF.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        logit_B = model(ids_BF, numeric_BN)
    # Without rows, where all of the batch are other processes', a mean would be no number.
    reduction = "mean" if len(label_B) else "sum"
    loss = F.binary_cross_entropy_with_logits(logit_B.float(), label_B, reduction=reduction)
    loss, data_loss = processes.mean(loss, len(label_B))
    check("the loss", data_loss)
    penalty = optimizers.batch_penalty()
    if penalty is not None:
        check("the L2 penalty", penalty.detach())
        loss = loss + penalty
    optimizers.clear()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizers.step(processes)
    return data_loss

"""Adam on tensors that are no parameters: PyTorch's fused function where it is there, the plain formula elsewhere."""

from collections.abc import Callable

import torch
from torch import Tensor

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def adam_(weight: Tensor, grad: Tensor, mean: Tensor, square: Tensor, step: Tensor, lr: float) -> None:
    """Move `weight`, `mean` and `square` in place by step number `step` (Kingma and Ba 2015)."""
    (fused_adam_ or plain_adam_)(weight, grad, mean, square, step, lr)


def plain_adam_(weight: Tensor, grad: Tensor, mean: Tensor, square: Tensor, step: Tensor, lr: float) -> None:
    """The formula in PyTorch's public operations: ten passes over the rows where the fused function takes one."""
    mean.lerp_(grad, 1 - BETA1)
    square.mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
    root = (square / (1 - BETA2**step)).sqrt_().add_(EPS)
    weight.sub_((mean / (1 - BETA1**step)).div_(root).mul_(lr))


def _fused() -> Callable[..., None] | None:
    """PyTorch's functional Adam, tried on one number: its arguments are not promised."""
    try:
        from torch.optim.adam import adam

        def fused_(weight: Tensor, grad: Tensor, mean: Tensor, square: Tensor, step: Tensor, lr: float) -> None:
            steps = [step - 1]  # the function counts
            adam([weight], [grad], [mean], [square], [], steps, fused=True, amsgrad=False, beta1=BETA1, beta2=BETA2,
                 lr=lr, weight_decay=0.0, eps=EPS, maximize=False)  # fmt: skip

        weight, grad, mean, square = (torch.tensor([start]) for start in (1.0, 1.0, 0.0, 0.0))
        fused_(weight, grad, mean, square, torch.ones(()), 0.5)
    except (ImportError, RuntimeError, TypeError, AttributeError):
        return None
    return fused_ if abs(float(weight) - 0.5) < 1e-6 else None


fused_adam_ = _fused()

"""What several processes can train, and TorchRec: all else is refused in one line, before anything is created."""

import torch

from mlet_bench import models
from mlet_bench.config import TrainCommand
from mlet_bench.config.emb import (
    AdaEmbedEmbConfig,
    ALPTEmbConfig,
    CAFEEmbConfig,
    FIITEDEmbConfig,
    FrozenMLETEmbConfig,
    HashEmbConfig,
    LPTEmbConfig,
    MLETEmbConfig,
    SingleEmbConfig,
)
from mlet_bench.embedding import SingleEmbedding
from mlet_bench.errors import UserError
from mlet_bench.models.layers import BatchNorm
from mlet_bench.system import torchrec
from mlet_bench.system.launch import launched
from mlet_bench.training.optimizers import dense_rows

LOOK_AT_ROWS = (CAFEEmbConfig, AdaEmbedEmbConfig, FIITEDEmbConfig, LPTEmbConfig, ALPTEmbConfig)
"""Modes that change their rows by more than gradients: every process would change them its own way."""
FIELDS = (5, 4)
"""Cardinalities of a small model that is asked what it is made of."""


def check(config: TrainCommand) -> None:
    """UserError for what this launch cannot train as one process would."""
    size, sharded = launched().size, config.hardware.sharding is not None
    for key in ("world", "memory_gib"):
        value = getattr(config.hardware, key)
        if value is not None:
            raise UserError(f"hardware.{key}={value}: is for plan=true; a run takes the processes of its launch")
    if sharded:
        torchrec.check()
        check_sharded(config)
    if size == 1:
        return
    if config.emb.l2 > 0 and config.emb.l2_rows == "batch":
        raise UserError(f"emb.l2={config.emb.l2:g}: several processes know no batch as a whole; allowed: 0, or "
                        "emb.l2_rows=table with hardware=cpu or cuda")  # fmt: skip
    if config.train.spectra:
        raise UserError("train.spectra=true: one process alone can take spectra; allowed: false")
    if isinstance(config.emb, LOOK_AT_ROWS) or config.emb.search is not None:
        raise UserError(
            f"emb={config.emb.mode}: changes its rows by more than gradients; one process alone can train it"
        )
    if any(isinstance(part, BatchNorm) for part in _small(config).modules()):
        raise UserError("model.batch_norm=true: several processes see different rows; allowed: false")


def check_sharded(config: TrainCommand) -> None:
    """UserError for what TorchRec cannot hold."""
    emb, train = config.emb, config.train
    if not isinstance(emb, SingleEmbConfig | MLETEmbConfig | HashEmbConfig) or isinstance(emb, FrozenMLETEmbConfig):
        raise UserError(f"emb={emb.mode}: hardware=torchrec holds tables alone; allowed: single, mlet, hash")
    for key, value in (("emb.inner", emb.inner), ("emb.dim", emb.dim)):
        if value is not None and value % 4:
            raise UserError(f"{key}={value}: TorchRec's tables are as wide as a multiple of 4")
    if train.optimizer == "adam" and config.hardware.device == "cpu":
        raise UserError("train.optimizer=adam: TorchRec has it on GPUs alone; allowed with hardware.device=cpu: sgd, "
                        "adagrad, rowwise_adagrad")  # fmt: skip
    if emb.l2 > 0:
        raise UserError(f"emb.l2={emb.l2:g}: hardware=torchrec moves rows within the backward pass; allowed: 0")
    if dense_rows(train, emb):
        raise UserError("train.update=exact: hardware=torchrec moves only the rows of a batch; allowed: lazy")
    if train.clip_norm is not None:
        raise UserError(f"train.clip_norm={train.clip_norm:g}: hardware=torchrec moves rows before all gradients are "
                        "known; allowed: null")  # fmt: skip
    if train.spectra:
        raise UserError("train.spectra=true: no process of hardware=torchrec has a whole table; allowed: false")
    parts = [part for part in _small(config).modules() if isinstance(part, SingleEmbedding)]
    if len(parts) > 1:
        raise UserError(f"model={config.model.name}: has first-order weights, which hardware=torchrec does not hold; "
                        "allowed: dlrm, dcn, dcnv2, autoint, nfm and others without them")  # fmt: skip


def _small(config: TrainCommand) -> torch.nn.Module:
    """The model over tables of a few rows, without memory."""
    with torch.device("meta"):
        return models.build(config.model, SingleEmbedding.empty(FIELDS, config.emb.dim), 1)

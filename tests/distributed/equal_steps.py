"""Run by torchrun: every process trains the same model alone, and together with the others over tables in shards.

Prints a line for each model, embedding, optimiser and sharding: how far the collapsed tables are apart after 20 steps,
and the largest difference of a weight of the network. Three fields: one with a single category, one whose rows
no number of processes divides, one that table-wise sharding puts on one process. The last batch has a single row.
For every prepared folder that is named, the same over its rows, and the test AUC of both after an epoch; without any
a few of the cases alone.
"""

import itertools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from mlet_bench.config import EMBEDDINGS, ModelSection, TrainConfig
from mlet_bench.config import convert as convert_section
from mlet_bench.data import Prepared, Split
from mlet_bench.data.batches import MemoryRows, TrainingRows, training_rows
from mlet_bench.embedding.collapse import collapse
from mlet_bench.embedding.placement import Placement
from mlet_bench.embedding.sharded import builder
from mlet_bench.evaluation.metrics import Groups, Scored
from mlet_bench.evaluation.predictions import predict
from mlet_bench.models.seeded import build_model
from mlet_bench.system.processes import ALONE, Processes
from mlet_bench.system.several import joined
from mlet_bench.training.optimizers import Optimizers
from mlet_bench.training.step import step
from tests.conftest import train_config
from tests.distributed.launcher import relative

CARDINALITIES, NUMERIC, BATCH = (1, 997, 40), 3, 32
STEPS, EPOCH_BATCH, CPU = 20, 256, torch.device("cpu")
DENSE = {"dropout": 0.0, "batch_norm": False}
MODELS = {
    "dlrm": {"bottom_mlp": (8,), "top_mlp": (8,), "interaction": "dot", "init": "pytorch", **DENSE},
    "dcn": {"cross_layers": 2, "numeric_input": "values", "mlp": (8,), "init": "xavier_normal", "use_wide": False,
            **DENSE},
}  # fmt: skip
EMBEDDING = {"dim": 8, "lr": None, "l2": 0.0, "l2_on": "product", "l2_rows": "batch", "table_init": "dlrm",
             "init_std": None}  # fmt: skip
Case = tuple[str, str, str, Any]
"""Model, embedding, optimiser, sharding."""
CASES: list[Case] = [
    (model, mode, optimizer, sharding)
    for model in MODELS
    for mode in ("single", "mlet", "hash")
    for optimizer, sharding in (("sgd", "row_wise"), ("rowwise_adagrad", "auto"), ("adagrad", "table_wise"))
]
FEW_CASES = CASES[::4]
"""Every model, embedding, optimiser and sharding among them."""
LONG_CASES = [case for case in CASES if case[1] != "hash" and case[2] != "adagrad"]


@dataclass(frozen=True)
class Rows:
    """What is trained on."""

    name: str
    cardinalities: Sequence[int]
    numeric: int
    seen_V: torch.Tensor
    batches: Callable[[Processes, TrainConfig], TrainingRows]
    """Of each process its own part."""
    test: Split | None = None


def random_rows() -> Rows:
    """19 whole batches and one row."""
    generator = torch.Generator().manual_seed(5)
    count = (STEPS - 1) * BATCH + 1
    ids = [torch.randint(0, ids, (count,), generator=generator) for ids in CARDINALITIES]
    numeric = torch.rand(count, NUMERIC, generator=generator)
    label = (numeric[:, 0] > 0.5).float()
    split = Split(torch.stack(ids, 1).int().numpy(), numeric.numpy(), label.numpy(), None, None)
    seen_V = torch.ones(sum(CARDINALITIES), dtype=torch.bool)
    seen_V[5] = False

    def batches(processes: Processes, train: TrainConfig) -> TrainingRows:
        own = processes.share(count)
        return MemoryRows(split.rows(own.start, own.stop), BATCH, 1, CPU, own, count)

    return Rows("random", CARDINALITIES, NUMERIC, seen_V, batches)


def prepared_rows(folder: str) -> Rows:
    prepared = Prepared.open(Path(folder))
    return Rows(
        prepared.name,
        prepared.cardinalities,
        len(prepared.numeric),
        torch.from_numpy(np.concatenate(prepared.id_counts) > 0),
        lambda processes, train: training_rows(prepared, train, 1, CPU, processes),
        prepared.split("test", counts=False),
    )


def embedding_of(mode: str) -> Any:
    own = {"inner": None if mode != "mlet" else 64, "inner_std": None}
    small = {"ratio": 0.5, "min_rows": 10} if mode == "hash" else {}
    defaults = {"shrink": "alike"} if mode == "hash" and "shrink" in EMBEDDINGS["hash"].model_fields else {}
    return convert_section(EMBEDDINGS[mode], {"mode": mode, **EMBEDDING, **own, **small, **defaults}, "emb")


class Training:
    """An epoch, alone or with the others."""

    def __init__(
        self, rows: Rows, case: Case, processes: Processes, *, sharded: bool, device: torch.device = CPU
    ) -> None:
        model, mode, optimizer, sharding = case
        lr = 0.005 if optimizer != "sgd" else 0.1 if rows.test is None else 0.01  # Criteo's numbers are large
        emb, train = embedding_of(mode), train_config(optimizer=optimizer, lr=lr, batch_size=EPOCH_BATCH)
        section = ModelSection(name=model, **MODELS[model])
        build = []
        if sharded:
            placement = Placement(device, sharding, optimizer, lr, BATCH, 1 << 30, processes.size)
            build.append(builder(placement))
        self.rows, self.processes, self.device = rows, processes, device
        model_on_cpu = build_model(section, emb, rows.cardinalities, rows.numeric, 1, rows.seen_V, *build)
        self.model = model_on_cpu.to(device)
        self.optimizers = Optimizers(self.model, train, emb)
        self.batches = rows.batches(processes, train).batches(0, 0)

    def steps(self, most: int | None) -> None:
        self.model.train()
        for ids_BF, numeric_BN, label_B in itertools.islice(self.batches, most):
            batch = ids_BF.to(self.device), numeric_BN.to(self.device), label_B.to(self.device)
            step(self.model, self.optimizers, batch, lambda name, value: None, processes=self.processes)

    def collapsed(self) -> tuple[Any, torch.Tensor]:
        """The collapsed tables' rows, whole or as they are held, and the network."""
        plain = collapse(self.model.eval())
        network = [weight for name, weight in plain.named_parameters() if not name.startswith("embedding")]
        return plain.embedding, torch.cat([weight.detach().flatten() for weight in network])

    def auc(self) -> float:
        """On the first process."""
        assert self.rows.test is not None
        own = self.processes.share(len(self.rows.test))
        pieces = [self.rows.test.rows(own.start, own.stop)]
        logit_R = predict(self.model.eval(), pieces, EPOCH_BATCH, processes=self.processes)
        if not self.processes.first:
            return 0.0
        return Groups.of(Scored.of(self.rows.test.label_B, logit_R)[0]).auc or 0.0


def compared(rows: Rows, case: Case, processes: Processes) -> dict[str, Any]:
    """How far several processes are from one."""
    one, many = Training(rows, case, ALONE, sharded=False), Training(rows, case, processes, sharded=True)
    for training in (one, many):
        training.steps(STEPS)
    (whole, network), (shards, other) = one.collapsed(), many.collapsed()
    expected_VD, bounds = whole.table.weight.detach(), whole.fields.bounds
    held = [(bounds[field] + first, rows_ND) for field, first, rows_ND in shards.sharded.held() if len(rows_ND)]
    apart = [relative(expected_VD[start : start + len(rows_ND)], rows_ND) for start, rows_ND in held]
    found = {"tables": max(apart, default=0.0), "network": relative(network, other)}
    if rows.test is None:
        copies = Training(rows, case, processes, sharded=False)
        copies.steps(STEPS)
        found["whole"] = relative(network, copies.collapsed()[1])
    assert max(found.values()) < 1e-5, (rows.name, case, processes.rank, found)
    if rows.test is not None:
        many.steps(None)
        found["auc_of_several"] = many.auc()
        if processes.first:
            one.steps(None)
            found["auc"] = one.auc()
    return {**found, "held": sum(len(rows_ND) for _, rows_ND in held), "of": len(expected_VD)}


def main() -> None:
    with joined(CPU, {}, group=True) as processes:
        prepared = [prepared_rows(folder) for folder in sys.argv[1:]]
        for rows in (random_rows(), *prepared):
            for case in LONG_CASES if rows.test is not None else CASES if prepared else FEW_CASES:
                found = compared(rows, case, processes)
                if processes.first:
                    print(json.dumps({"rows": rows.name, "case": case, **found}), flush=True)
        dist.barrier()


if __name__ == "__main__":
    sys.exit(main())

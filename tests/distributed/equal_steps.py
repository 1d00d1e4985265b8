"""Run by torchrun: every process trains the same model alone, and together with the others over tables in shards.

Prints a line for each model, embedding, optimiser and sharding: how far the collapsed tables are apart after 20 steps,
and the largest difference of a weight of the network. Three fields: one with a single category, one whose rows
no number of processes divides, one that table-wise sharding puts on one process. The last batch has a single row.
"""

import json
import sys
from typing import Any

import torch
import torch.distributed as dist

from mlet_bench.config import EMBEDDINGS, ModelSection
from mlet_bench.config import convert as convert_section
from mlet_bench.data.batches import MemoryRows
from mlet_bench.data.rows import Split
from mlet_bench.embedding.collapse import collapse
from mlet_bench.embedding.placement import Placement
from mlet_bench.embedding.sharded import builder
from mlet_bench.models.seeded import build_model
from mlet_bench.system.processes import ALONE, Processes
from mlet_bench.system.several import joined
from mlet_bench.training.optimizers import Optimizers
from mlet_bench.training.step import step
from tests.conftest import train_config
from tests.distributed.launcher import relative

CARDINALITIES, NUMERIC, BATCH = (1, 997, 40), 3, 32
STEPS = 20
DENSE = {"dropout": 0.0, "batch_norm": False}
MODELS = {
    "dlrm": {"bottom_mlp": (8,), "top_mlp": (8,), "interaction": "dot", "init": "pytorch", **DENSE},
    "dcn": {"cross_layers": 2, "numeric_input": "values", "mlp": (8,), "init": "xavier_normal", "use_wide": False,
            **DENSE},
}  # fmt: skip
EMBEDDING = {"dim": 8, "lr": None, "l2": 0.0, "l2_on": "product", "l2_rows": "batch", "table_init": "dlrm",
             "init_std": None}  # fmt: skip
CASES = [
    (model, mode, optimizer, sharding)
    for model in MODELS
    for mode in ("single", "mlet", "hash")
    for optimizer, sharding in (("sgd", "row_wise"), ("rowwise_adagrad", "auto"), ("adagrad", "table_wise"))
]


def rows() -> Split:
    """19 whole batches and one row."""
    generator = torch.Generator().manual_seed(5)
    count = (STEPS - 1) * BATCH + 1
    ids = [torch.randint(0, ids, (count,), generator=generator) for ids in CARDINALITIES]
    numeric = torch.rand(count, NUMERIC, generator=generator)
    label = (numeric[:, 0] > 0.5).float()
    return Split(torch.stack(ids, 1).int().numpy(), numeric.numpy(), label.numpy(), None, None)


def embedding_of(mode: str) -> Any:
    own = {"inner": None if mode != "mlet" else 64, "inner_std": None}
    small = {"ratio": 0.5, "min_rows": 10} if mode == "hash" else {}
    defaults = {"shrink": "alike"} if mode == "hash" and "shrink" in EMBEDDINGS["hash"].model_fields else {}
    return convert_section(EMBEDDINGS[mode], {"mode": mode, **EMBEDDING, **own, **small, **defaults}, "emb")


def trained(model: str, mode: str, optimizer: str, processes: Processes, sharding: Any) -> tuple[Any, Any]:
    """The collapsed tables' rows, whole or as they are held, and the network."""
    lr = 0.1 if optimizer == "sgd" else 0.005
    emb, train = embedding_of(mode), train_config(optimizer=optimizer, lr=lr)
    section = ModelSection(name=model, **MODELS[model])
    seen_V = torch.ones(sum(CARDINALITIES), dtype=torch.bool)
    seen_V[5] = False
    build = []
    if sharding is not None:
        placement = Placement(torch.device("cpu"), sharding, optimizer, lr, BATCH, 1 << 30, processes.size)
        build.append(builder(placement))
    made = build_model(section, emb, CARDINALITIES, NUMERIC, 1, seen_V, *build)
    split, device = rows(), torch.device("cpu")
    own = processes.share(len(split))
    batches = MemoryRows(split.rows(own.start, own.stop), BATCH, 1, device, own, len(split))
    optimizers = Optimizers(made, train, emb)
    made.train()
    for batch in batches.batches(0, 0):
        step(made, optimizers, batch, lambda name, value: None, processes=processes)
    optimizers.finish()
    plain = collapse(made.eval())
    network = [weight for name, weight in plain.named_parameters() if not name.startswith("embedding")]
    return plain.embedding, torch.cat([weight.detach().flatten() for weight in network])


def main() -> None:
    with joined(torch.device("cpu"), {}, group=True) as processes:
        for model, mode, optimizer, sharding in CASES:
            whole, network = trained(model, mode, optimizer, ALONE, None)
            shards, other = trained(model, mode, optimizer, processes, sharding)
            expected_VD, bounds = whole.table.weight.detach(), whole.fields.bounds
            apart = 0.0
            for field, first, rows_ND in shards.sharded.held():
                start = bounds[field] + first
                if len(rows_ND):
                    apart = max(apart, relative(expected_VD[start : start + len(rows_ND)], rows_ND))
            _, replicated = trained(model, mode, optimizer, processes, None)
            found = {"tables": apart, "network": relative(network, other), "whole": relative(network, replicated)}
            if processes.first:
                held = sum(len(rows_ND) for _, _, rows_ND in shards.sharded.held())
                print(json.dumps({"case": [model, mode, optimizer, sharding], "held": held, "of": len(expected_VD),
                                  **found}), flush=True)  # fmt: skip
            else:
                assert max(found.values()) < 1e-5, found
        dist.barrier()


if __name__ == "__main__":
    sys.exit(main())

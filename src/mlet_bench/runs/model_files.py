"""The collapsed model of a run: one safetensors file, or several with an index where tables lay in shards.

The index is that of Hugging Face's sharded models (`model.safetensors.index.json`: which file holds which tensor). A
table of several processes stands there in slices, each named by the number of its first row.
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mlet_bench.errors import UserError
from mlet_bench.models import CTRModel
from mlet_bench.runs.model_names import INDEX, MODEL, PART, model_files
from mlet_bench.system import files
from mlet_bench.system.processes import ALONE, Processes
from mlet_bench.training.checkpoint import load_weights, save_weights

SLICE = re.compile(r"(.+)\.rows\.(\d{12})")
TABLE = "embedding.table.weight"
"""What a single-layer model calls the rows of all fields."""


def save_model(folder: Path, model: CTRModel, processes: Processes = ALONE) -> None:
    """Write the weights; of tables in shards every process writes its own part."""
    dense = model.state_dict()
    if model.embedding.sharded is None:
        if processes.first:
            save_weights(folder / MODEL, dense)
        return
    bounds, held = model.embedding.fields.bounds, model.embedding.sharded.held()
    own = {f"{TABLE}.rows.{bounds[field] + first:012d}": rows for field, first, rows in held if len(rows)}
    own |= dense if processes.first else {}
    name = f"model-{processes.rank + 1:05d}-of-{processes.size:05d}.safetensors"
    if processes.first:
        for stale in model_files(path.name for path in folder.iterdir()):
            files.remove(folder / stale)
    processes.wait()
    if own:
        save_weights(folder / name, own)
    sizes = processes.each({key: value.numel() * value.element_size() for key, value in own.items()})
    if processes.first:
        of = {key: f"model-{rank + 1:05d}-of-{processes.size:05d}.safetensors" for rank, part in enumerate(sizes)
              for key in part}  # fmt: skip
        total = sum(size for part in sizes for size in part.values())
        files.write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": dict(sorted(of.items()))})


def load_model_weights(folder: Path) -> dict[str, Tensor]:
    """The weights of a model by name, tables whole; UserError where a file is missing or damaged."""
    if not (folder / INDEX).is_file():
        return load_weights(folder / MODEL)
    tensors: dict[str, Tensor] = {}
    weight_map = _weight_map(folder / INDEX)
    for name in sorted(set(weight_map.values())):
        found = load_weights(folder / name)
        tensors |= {key: value for key, value in found.items() if weight_map.get(key) == name}
    if tensors.keys() != weight_map.keys():
        raise UserError(f"{folder / INDEX}: names tensors that are in no file; rerun=true makes the run again")
    return _joined(tensors, folder / INDEX)


def _weight_map(path: Path) -> dict[str, str]:
    index: Any = files.read_json(path)
    found = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and PART.fullmatch(name) for name in found.values()
    ):
        raise UserError(f"{path}: damaged, it names files that no model is stored in; rerun=true makes the run again")
    return found


def _joined(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Slices of a table as the table."""
    slices: dict[str, list[tuple[int, Tensor]]] = {}
    whole = {}
    for name, value in tensors.items():
        found = SLICE.fullmatch(name)
        if found is None:
            whole[name] = value
        else:
            slices.setdefault(found[1], []).append((int(found[2]), value))
    for name, parts in slices.items():
        rows = 0
        for first, part in sorted(parts, key=lambda part: part[0]):
            if first != rows or part.ndim != 2 or part.shape[1] != parts[0][1].shape[1]:
                raise UserError(f"{path}: damaged, rows of {name} are missing; rerun=true makes the run again")
            rows += len(part)
        whole[name] = torch.cat([part for _, part in sorted(parts, key=lambda part: part[0])])
    return whole

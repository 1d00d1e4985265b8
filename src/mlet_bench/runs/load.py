"""The collapsed model of a finished run, loaded from its folder."""

import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mlet_bench import models
from mlet_bench.config import TrainCommand, convert_command
from mlet_bench.data import Prepared
from mlet_bench.data.sources.raw import data_root
from mlet_bench.embedding import empty_served
from mlet_bench.errors import UserError, nearest_beside
from mlet_bench.models import CTRModel
from mlet_bench.runs.model_files import load_model_weights
from mlet_bench.runs.run_folder import CONFIG, RESULT, RunFolder

MOST_NUMERIC = 1000


def load_model(run: str | PathLike[str]) -> CTRModel:
    """The collapsed model of a finished run, in evaluation mode, on CPU.

    It maps ids within their fields (B × F) and numeric columns (B × N), encoded as the run's data set, to logits (B).
    `mlet_bench.errors.UserError` with one line if the folder is not that of a finished run, or if a file
    in it is not what the run wrote.
    """
    folder = finished(Path(run))
    config, _ = config_of(folder)
    weights = weights_of(folder)
    cardinalities = _cardinalities(folder, weights)
    recorded = folder.result().dataset.numeric
    counts = range(MOST_NUMERIC) if recorded is None else [recorded]
    for numeric in counts:
        if _fits(config, cardinalities, numeric, weights):
            return model_of(folder, config, cardinalities, numeric, weights)
    raise UserError(f"{folder.model}: does not fit its config")


def finished(path: Path, key: str = "run") -> RunFolder:
    """The folder of a finished run whose config, result and weights are as the run left them; UserError if not."""
    folder = RunFolder(path)
    if not path.is_dir():
        raise UserError(f"{key}={path}: no such folder.{nearest_beside(path, folders=True)}")
    if not folder.finished:
        raise UserError(f"{key}={path}: not the folder of a finished run, it has no DONE")
    folder.check(CONFIG, RESULT, *folder.known_model_files)
    return folder


def config_of(folder: RunFolder) -> tuple[TrainCommand, str]:
    """The config that a run was trained with, and the run's fingerprint."""
    path, values = folder.path / CONFIG, folder.config()
    fingerprint = str(values.pop("fingerprint", ""))
    if not re.fullmatch("[0-9a-f]{12}", fingerprint):
        raise UserError(f"{path}: damaged, its fingerprint is none")
    try:
        return convert_command(TrainCommand, values), fingerprint
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def data_of(folder: RunFolder, config: TrainCommand, given: Path | None = None) -> Prepared:
    """The data that a run was trained on, or the prepared folder that is given, if it has the same vocabulary."""
    recorded = folder.result().dataset
    place = given or config.dataset.prepared or data_root() / "prepared" / f"{recorded.name}-{recorded.fingerprint}"
    if given is None and not place.is_dir():
        raise UserError(f"{place}: the run's data is not there; prepare it again, or give dataset.prepared=DIR")
    prepared = Prepared.open(place)
    if prepared.vocabulary != recorded.vocabulary:
        raise UserError(
            f"{prepared.folder}: has another vocabulary than the run was trained with; prepare it with dataset.vocab="
            "the run's prepared folder"
        )
    return prepared


def weights_of(folder: RunFolder) -> dict[str, Tensor]:
    """The collapsed model's tensors, of a folder that `finished` has checked."""
    return load_model_weights(folder.path)


def model_of(
    folder: RunFolder, config: TrainCommand, cardinalities: Sequence[int], numeric: int, weights: dict[str, Tensor]
) -> CTRModel:
    """The model of a run over tables of these rows, in evaluation mode; UserError if the weights do not fit it."""
    try:
        model = models.build(config.model, empty_served(config.emb, cardinalities), numeric)
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:  # other names or shapes, or more memory than there is
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{folder.model}: does not fit its config ({reason})") from None
    return model.eval()


def _cardinalities(folder: RunFolder, weights: dict[str, Any]) -> list[int]:
    """As the embedding keeps them where ids share rows; else from the first offsets of fields among the weights: those
    of the embedding, or of first-order weights alone."""
    kept = weights.get("embedding.fields.cardinalities_F", weights.get("embedding.cardinalities_F"))
    if kept is not None and kept.ndim == 1 and (kept > 0).all():
        return [int(count) for count in kept]
    offsets = next((value for name, value in sorted(weights.items()) if name.endswith("fields.offsets")), None)
    if offsets is None or offsets.ndim != 1 or not (offsets.diff() > 0).all():
        raise UserError(f"{folder.model}: does not fit its config (it has no offsets of fields)")
    rows: list[int] = offsets.diff().tolist()
    return rows


def _fits(config: TrainCommand, cardinalities: Sequence[int], numeric: int, weights: dict[str, Tensor]) -> bool:
    """Whether a model with so many numeric columns has these shapes; it takes no memory to ask."""
    with torch.device("meta"):
        built = models.build(config.model, empty_served(config.emb, cardinalities), numeric)
    shapes = {name: value.shape for name, value in built.state_dict().items()}
    return shapes == {name: value.shape for name, value in weights.items()}

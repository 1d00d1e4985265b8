"""A finished run's collapsed model, written for serving, and checked on the run's test rows before it is there."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlet_bench.config import ExportCommand
from mlet_bench.data import Prepared
from mlet_bench.embedding.quantized import quantize_tables, tables_alone
from mlet_bench.errors import UserError
from mlet_bench.evaluation.predictions import predict
from mlet_bench.runs import load
from mlet_bench.runs.progress import Progress
from mlet_bench.runs.run_folder import PREDICTIONS, RunFolder
from mlet_bench.serving import FORMATS
from mlet_bench.serving.card import CARD, card
from mlet_bench.serving.check import checked, logits
from mlet_bench.serving.encoding import write_encoding
from mlet_bench.serving.format import Program
from mlet_bench.serving.network import quantize_network
from mlet_bench.system import files

EXPORT = "export.json"


def export_run(config: ExportCommand, out: str, progress: Progress) -> tuple[Path, dict[str, Any]]:
    """The folder of the export, and the content of its export.json; one that is there already is left as it is.

    `{run}` in `out` is replaced by the run's fingerprint, `{network}` by what is done to the network. UserError if
    the run is not finished or not as it was left, if its data has another vocabulary, if what it serves cannot be
    quantised, or if the folder holds anything else. RunFailedError if what was written gives other logits.
    """
    chosen = FORMATS[config.format]
    if (package := chosen.missing_package()) is not None:
        raise UserError(f'format={config.format} needs {package}: pip install "mlet-bench[{config.format}]"')
    run = load.finished(config.run)
    result = run.result()
    trained, fingerprint = load.config_of(run)
    network = "" if config.network_bits == 32 else f"-network{config.network_bits}"
    folder = Path(out.replace("{run}", fingerprint).replace("{network}", network))
    asked = {"run": {"fingerprint": fingerprint, **result.model_dump(include={"model", "emb", "seed"})},
             "format": config.format, "bits": config.bits, "network_bits": config.network_bits}  # fmt: skip
    if (before := _before(folder, asked)) is not None:
        return folder, before
    prepared = load.data_of(run, trained, config.dataset.prepared)
    model = load.model_of(run, trained, prepared.cardinalities, len(prepared.numeric), load.weights_of(run))
    batch, rows = trained.eval.batch_size, prepared.rows["test"]
    program = Program(model, len(prepared.numeric))
    if config.bits < 32:
        tables_alone(model.embedding, result.emb.mode, f"bits={config.bits}")
        quantize_tables(model, config.bits)
    if config.network_bits < 32:
        quantize_network(model)
    if config.bits == config.network_bits == 32:
        reference_R = _predicted(run, prepared)
    else:
        with progress.evaluating() as advanced:
            quantised = partial(advanced, "evaluate the quantised model on test")
            reference_R = predict(model, prepared.pieces("test"), batch, quantised, rows)
    with files.whole_folder(folder) as temporary, progress.evaluating() as advanced:
        advanced("write", 0, 0)
        about = chosen.write(temporary, program)
        runner = chosen.read(temporary, program)
        logit_R = logits(runner, prepared, batch, partial(advanced, "evaluate what was written on test"))
        found = checked(logit_R, reference_R, prepared, trained.eval, f"format={config.format}")
        write_encoding(prepared, temporary)
        sizes = {path.name: path.stat().st_size for path in sorted(temporary.iterdir())}
        export = {
            "version": 1,
            **asked,
            "inputs": _inputs(prepared),
            "outputs": {"logit": ["batch"], "probability": ["batch"]},
            "check": found.as_json,
            "float32": result.metrics.test.model_dump(exclude_unset=True),
            "embedding_bytes": model.embedding.bytes,
            "files": {name: {"bytes": size, "md5": files.md5(temporary / name)} for name, size in sizes.items()},
            **about,
        }
        files.write_text(temporary / CARD, card(export, result, trained, prepared))
        files.write_json(temporary / EXPORT, export)
    return folder, export


def _before(folder: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    """export.json of the same export, if the folder holds it whole; UserError if it holds anything else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    path = folder / EXPORT
    found = files.read_json(path) if path.is_file() else None
    if not isinstance(found, dict) or {key: found.get(key) for key in asked} != asked:
        raise UserError(f"hydra.run.dir={folder}: holds something else; choose another folder, or remove it")
    for name, known in found["files"].items():
        if not (folder / name).is_file() or files.md5(folder / name) != known["md5"]:
            raise UserError(f"{folder / name}: damaged, it is not what was exported; remove the folder")
    return found


def _predicted(run: RunFolder, prepared: Prepared) -> np.ndarray:
    """logit_R that the run itself wrote of its test rows."""
    run.check(PREDICTIONS)
    try:
        logit_R: np.ndarray = pq.read_table(run.path / PREDICTIONS, columns=["logit"]).column(0).to_numpy()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{run.path / PREDICTIONS}: cannot be read ({str(error).splitlines()[0]})") from None
    if len(logit_R) != prepared.rows["test"]:
        raise UserError(f"{prepared.folder}: has {prepared.rows['test']:,} test rows, the run had {len(logit_R):,}")
    return logit_R


def _inputs(prepared: Prepared) -> dict[str, Any]:
    ids = {"ids": {"dtype": "int64", "shape": ["batch", len(prepared.fields)]}}
    numeric = {"numeric": {"dtype": "float32", "shape": ["batch", len(prepared.numeric)]}}
    return {**ids, **(numeric if prepared.numeric else {})}

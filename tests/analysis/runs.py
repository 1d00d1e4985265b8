"""Run folders written by hand, for reports whose numbers are known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from mlet_bench.analysis.collect import collect
from mlet_bench.analysis.comparisons import StudyComparison, compare
from mlet_bench.analysis.study import Study, study
from mlet_bench.analysis.tuned_alike import tuned_alike
from mlet_bench.analysis.tunings import tunings_below
from mlet_bench.evaluation.metrics import Groups, Scored, auc_with_interval, probability

Values = dict[str, Any]


def comparisons(*roots: Path) -> list[StudyComparison]:
    """Of the runs below these folders."""
    return compare(collect(roots).runs)[0]


def studies(*roots: Path, margin: float = 0.0, dim: int | None = None) -> list[Study]:
    fair = tuned_alike(comparisons(*roots), tunings_below(roots)[0])
    return [study(comparison, margin, dim) for comparison in fair]


def only_study(root: Path, margin: float = 0.0, dim: int | None = None) -> Study:
    (study,) = studies(root, margin=margin, dim=dim)
    return study


def scores(auc: float | None, rows: int = 1000, logloss: float = 0.5) -> Values:
    return {
        "auc": auc, "auc_ci95": None if auc is None else [auc - 0.01, auc + 0.01], "logloss": logloss,
        "normalized_entropy": 1.0, "calibration": 1.0, "rows": rows, "positives": rows // 4,
    }  # fmt: skip


def bucket(field: str, name: str, auc: float | None, rows: int = 100) -> Values:
    low = int(name.split("-")[0].rstrip("+"))
    return {"field": field, "bucket": name, "min_count": low, "max_count": None, **scores(auc, rows)}


def result_of(
    mode: str, dim: int, inner: int | None, seed: int, *, valid: float, test: float | None, changes: Values
) -> Values:
    width = inner or dim
    values: Values = {
        "version": 1,
        "dataset": {"name": "toy", "rows": {"train": 10, "valid": 5, "test": 5}, "fields": 2, "categories": 100,
                    "fingerprint": "abc123"},
        "model": "dlrm",
        "emb": {"mode": mode, "dim": dim, "inner": inner},
        "seed": seed,
        "hardware": {"device": "cpu", "threads": 1},
        "software": {"torch": "2.13.0"},
        "metrics": {"valid": scores(valid), "test": scores(test)},
        "buckets": [bucket("rarest", "0", 0.6), bucket("rarest", "1-9", test)],
        "collapse": {"max_abs_logit_diff": 1e-7, "embedding_bytes_training": 400 * width,
                     "embedding_bytes_inference": 400 * dim, "parameters_training": 100 * width + 50,
                     "parameters_inference": 100 * dim + 50},
        "train": {"steps": 10, "epochs": 1.0, "best_step": 10, "samples_per_s": 1000.0 / width, "seconds": 1.0,
                  "peak_memory_bytes": 2**20},
    }  # fmt: skip
    return merged(values, changes)


def merged(values: Values, changes: Values) -> Values:
    """`values` with some keys of its parts changed."""
    whole = dict(values)
    for key, change in changes.items():
        whole[key] = merged(whole[key], change) if isinstance(change, dict) and key in whole else change
    return whole


def config_of(mode: str, dim: int, inner: int | None, seed: int, changes: Values) -> Values:
    values: Values = {
        "fingerprint": "0" * 12,
        "dataset": {"name": "toy", "reader": "table", "raw": "/somewhere", "min_count": 1, "item_field": "item"},
        "model": {"name": "dlrm", "top_mlp": [8, 8]},
        "emb": {"mode": mode, "dim": dim, "inner": inner, "lr": None, "l2": 0.0, "l2_on": "factors", "l2_rows": "batch",
                "init_std": None},
        "hardware": {"device": "cpu", "threads": None},
        "train": {"lr": 0.001, "epochs": 1, "checkpoint_minutes": 5.0},
        "eval": {"buckets": [1, 10]},
        "seed": seed,
    }  # fmt: skip
    return merged(values, changes)


def write_run(
    root: Path,
    mode: str = "single",
    dim: int = 4,
    inner: int | None = None,
    seed: int = 1,
    *,
    valid: float = 0.7,
    test: float | None = 0.7,
    name: str = "",
    config: Values | None = None,
    result: Values | None = None,
    done: bool = True,
) -> Path:
    """A run folder below `root`; `config` and `result` change parts of those files."""
    folder = root / (name or f"{mode}-d{dim}-k{inner}-s{seed}")
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(
        yaml.safe_dump(config_of(mode, dim, inner, seed, config or {}), sort_keys=False)
    )
    values = result_of(mode, dim, inner, seed, valid=valid, test=test, changes=result or {})
    (folder / "result.json").write_text(json.dumps(values))
    lines = [{"step": step, "epoch": step / 10, "valid_auc": valid - 0.01 * (10 - step)} for step in (5, 10)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if done:
        (folder / "DONE").touch()
    return folder


def write_predictions(folder: Path, label_R: np.ndarray, logit_R: np.ndarray) -> None:
    """predictions.parquet, and its AUC in result.json."""
    logit_R = logit_R.astype(np.float32)
    columns = {"row": np.arange(len(label_R)), "label": label_R.astype(np.int8), "logit": logit_R,
               "probability": probability(logit_R)}  # fmt: skip
    pq.write_table(pa.table(columns), folder / "predictions.parquet")
    auc, interval = auc_with_interval(Groups.of(Scored.of(label_R, logit_R)[0]))
    values = json.loads((folder / "result.json").read_text())
    own = {"auc": auc, "auc_ci95": interval, "rows": len(label_R), "positives": int(label_R.sum())}
    values["metrics"]["test"].update(own)
    (folder / "result.json").write_text(json.dumps(values))


def write_grid(root: Path, dims: tuple[int, ...] = (2, 4, 8), seeds: tuple[int, ...] = (1, 2, 3)) -> None:
    """Single and MLET (k = 8, 32) on a grid of d, with predictions; MLET is a little better."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        label_R = np.arange(400) % 4 == 0
        for dim in dims:
            for mode, inner in (("single", None), ("mlet", 8), ("mlet", 32)):
                strength = 0.5 + 0.1 * np.log2(dim) + (0.2 if inner else 0)
                logit_R = strength * label_R + rng.normal(size=400)
                valid = 0.6 + 0.02 * np.log2(dim) + 0.01 * (inner or 0) ** 0.5 + 0.001 * seed
                folder = write_run(root, mode, dim, inner, seed, valid=float(valid))
                write_predictions(folder, np.asarray(label_R, int), logit_R)


def write_spectra(folder: Path, fields: dict[str, int], values: list[list[float]], *, share: float = 0.25) -> None:
    """spectra.jsonl with a line for each list of singular values, the same for every field (name → rows)."""
    lines = []
    for step, singular in enumerate(values):
        moved = {"held_rows": 2, "absent_rows": 8, "held_rms": 0.5, "absent_rms": 0.1, "absent_share": share,
                 "cosine": 0.5 + 0.1 * step, "error": None, "first_order_error": 1e-3}  # fmt: skip
        spectrum = {"singular_values": {"E": singular}, "effective_rank": 4.0 - step, "imbalance": 0.5,
               "movement": moved if step < len(values) - 1 else None}  # fmt: skip
        of_fields = {name: {"rows": rows, **spectrum} for name, rows in fields.items()}
        lines.append(json.dumps({"step": step, "epoch": step / 2, "lr": 0.1, "fields": of_fields}))
    (folder / "spectra.jsonl").write_text("".join(line + "\n" for line in lines))

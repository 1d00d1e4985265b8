"""The csv files: every number at full length, a row an arm, a pair, a bucket, a ratio, a cost or a run."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlet_bench.analysis.arms import Arm, Cell, Comparison
from mlet_bench.analysis.claims import claims
from mlet_bench.analysis.collect import LeftOut, Run
from mlet_bench.analysis.study import Study
from mlet_bench.evaluation.statistics import SeedDifference, Spread
from mlet_bench.report.ratio_views import summaries
from mlet_bench.runs.result import Movement
from mlet_bench.system import files

Row = dict[str, Any]


def write_tables(folder: Path, studies: Sequence[Study], left_out: Sequence[LeftOut]) -> list[Path]:
    """Write every csv file into `folder`, which must be there; a table without rows is an empty file with no header.

    `spectra` alone is left out where no run has them.
    """
    tables = {
        "claims": [asdict(one) for one in claims(studies)],
        "quality": [row for one in studies for row in _quality(one)],
        "paired_delong": [row for one in studies for row in _pairs(one)],
        "buckets": [row for one in studies for row in _buckets(one)],
        "size_ratio": [row for one in studies for row in _ratios(one)],
        "size_ratio_summary": [{"over": name, **asdict(one)} for name, one in summaries(studies).items()],
        "cost": [row for one in studies for row in _cost(one)],
        "runs": [*(row for one in studies for row in _runs(one.comparison)), *map(_left_out, left_out)],
    }
    spectra = [row for one in studies for row in _spectra(one.comparison)]
    if spectra:
        tables["spectra"] = spectra
    else:
        (folder / "spectra.csv").unlink(missing_ok=True)  # an earlier report's
    for name, rows in tables.items():
        files.write_text(folder / f"{name}.csv", files.encodable(as_csv(rows)))
    return [folder / f"{name}.csv" for name in tables]


def as_csv(rows: Sequence[Row]) -> str:
    """
    >>> as_csv([{"a": 1, "b": None}, {"a": 0.5, "c": "x,y"}])
    'a,b,c\\n1,,\\n0.5,,"x,y"\\n'
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    if names:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _quality(study: Study) -> Iterator[Row]:
    for one in study.qualities:
        yield {
            **_of_arm(study.comparison, one.arm),
            "chosen": one.chosen,
            "settings_tried": one.tried,
            "seeds": len(one.arm.runs),
            **_spread("valid_auc", one.valid),
            **_spread("test_auc", one.auc),
            **(_spread("test_gauc", one.gauc) if one.gauc.n else {}),
            **_spread("test_logloss", one.logloss),
            **_difference("auc_gain", one.auc_gain),
            **_difference("logloss_gain", one.logloss_gain),
        }


def _pairs(study: Study) -> Iterator[Row]:
    for one in study.qualities:
        for seed, found in one.by_rows:
            low, high = found.ci95 or (None, None)
            yield {
                **_of_arm(study.comparison, one.arm),
                "seed": seed,
                "auc_gain": found.difference,
                "standard_error": found.standard_error,
                "ci95_low": low,
                "ci95_high": high,
                "p": found.p,
            }


def _buckets(study: Study) -> Iterator[Row]:
    for one in study.buckets:
        yield {
            **_of_cell(study.comparison, one.cell),
            "field": one.bucket.field,
            "bucket": one.bucket.bucket,
            "min_count": one.bucket.min_count,
            "rows": one.bucket.rows,
            "positives": one.bucket.positives,
            "best_auc": one.bucket.best_auc,
            **_spread("test_auc", one.auc),
            **_spread("test_logloss", one.logloss),
            **_difference("auc_gain", one.auc_gain),
        }


def _ratios(study: Study) -> Iterator[Row]:
    for one in study.ratios:
        low, high = one.ci95 or (None, None)
        low_between, high_between = one.interpolated_ci95 or (None, None)
        yield {
            **_of_comparison(study.comparison),
            "d_ref": one.ref_dim,
            "headline": one is study.headline,
            "margin": one.margin,
            "single_valid_auc": one.valid_auc,
            "seeds": one.seeds,
            "reached": one.reached is not None,
            "d": one.reached.dim if one.reached else None,
            "mode": one.cell.mode if one.cell else None,
            "k": one.cell.inner if one.cell else None,
            "widest_d_tried": one.widest,
            "no_smaller_d_tried": one.reached.is_smallest_tried if one.reached else None,
            "ratio": one.ratio,
            "ratio_ci95_low": low,
            "ratio_ci95_high": high,
            "interpolated_d": one.reached.interpolated if one.reached else None,
            "interpolated_ratio": one.interpolated_ratio,
            "interpolated_ci95_low": low_between,
            "interpolated_ci95_high": high_between,
            "parameters_ratio": one.parameters,
            **_difference("test_auc_gain", one.test),
        }


def _cost(study: Study) -> Iterator[Row]:
    for one in study.costs:
        yield {
            **_of_cell(study.comparison, one.cell),
            **_spread("train_seconds", one.seconds),
            **_spread("samples_per_s", one.samples_per_s),
            **_spread("time_per_sample_ratio", one.time_ratio),
            **_spread("peak_memory_bytes", one.peak_bytes),
            **_spread("peak_memory_ratio", one.peak_ratio),
            "embedding_bytes_training": one.embedding_bytes[0],
            "embedding_bytes_inference": one.embedding_bytes[1],
            "embedding_bytes_training_ratio": one.embedding_ratio,
            "parameters_training": one.parameters[0],
            "parameters_inference": one.parameters[1],
        }


def _runs(comparison: Comparison) -> Iterator[Row]:
    for arm in comparison.arms:
        for seed, run in sorted(arm.runs.items()):
            yield {"path": str(run.path), "state": "counted", "reason": "; ".join(run.notes),
                   **_of_arm(comparison, arm), "seed": seed, **_scores(run)}  # fmt: skip


def _spectra(comparison: Comparison) -> Iterator[Row]:
    """A row for each field at each evaluation; the singular values themselves stand in spectra.jsonl."""
    nothing = dict.fromkeys(Movement.model_fields)
    for arm in comparison.arms:
        for seed, run in sorted(arm.runs.items()):
            for line in run.spectra:
                for name, one in line.fields.items():
                    moved = nothing if one.movement is None else one.movement.model_dump()
                    yield {
                        **_of_arm(comparison, arm),
                        "seed": seed,
                        "field": name,
                        "rows": one.rows,
                        "step": line.step,
                        "epoch": line.epoch,
                        "embedding_lr": line.lr,
                        "effective_rank": one.effective_rank,
                        "imbalance": one.imbalance,
                        **moved,
                    }


def _scores(run: Run) -> Row:
    valid, test = run.result.metrics.valid, run.result.metrics.test
    low, high = test.auc_ci95 or (None, None)
    return {
        "valid_auc": valid.auc,
        "test_auc": test.auc,
        "test_auc_ci95_low": low,
        "test_auc_ci95_high": high,
        **({} if test.gauc is None else {"test_gauc": test.gauc}),
        "test_logloss": test.logloss,
    }


def _left_out(out: LeftOut) -> Row:
    return {"path": str(out.path), "state": out.state, "reason": out.reason}


def _of_comparison(comparison: Comparison) -> Row:
    return {
        "dataset": comparison.dataset,
        "data_fingerprint": comparison.fingerprint,
        "model": comparison.model,
        "variant": comparison.variant,
    }


def _of_cell(comparison: Comparison, cell: Cell) -> Row:
    return {**_of_comparison(comparison), "mode": cell.mode, "d": cell.dim, "k": cell.inner}


def _of_arm(comparison: Comparison, arm: Arm) -> Row:
    setting = {f"setting_{name}": value for name, value in arm.setting._asdict().items()}
    return {**_of_cell(comparison, arm.cell), **setting}


def _spread(name: str, spread: Spread) -> Row:
    return {f"{name}_mean": spread.mean, f"{name}_sd": spread.sd}


def _difference(name: str, found: SeedDifference | None) -> Row:
    if found is None:
        return dict.fromkeys([f"{name}_{part}" for part in ("mean", "seeds", "se", "t", "p", "ci95_low", "ci95_high")])
    low, high = found.ci95 or (None, None)
    return {
        f"{name}_mean": found.mean,
        f"{name}_seeds": found.n,
        f"{name}_se": found.standard_error,
        f"{name}_t": found.t,
        f"{name}_p": found.p,
        f"{name}_ci95_low": low,
        f"{name}_ci95_high": high,
        f"{name}_verdict": found.verdict,
    }

"""The tables of one run and of a prepared data set, in the terminal."""

from pathlib import Path
from typing import Any

from rich.console import Console

from mlet_bench.analysis import formatting
from mlet_bench.analysis.formatting import mebibytes, number
from mlet_bench.analysis.variants import EmbeddingVariant
from mlet_bench.data.prepared import BAD_ROWS, Prepared
from mlet_bench.evaluation.buckets import HIGHEST_TENTH, LOWEST_TENTH, POPULARITY, RAREST
from mlet_bench.report.console.tables import say, say_whole, show_table
from mlet_bench.report.table import Column, Table
from mlet_bench.runs.result import Compressed, Emb


def show_result(console: Console, result: dict[str, Any], folder: Path, item_field: str | None) -> None:
    """AUC and logloss overall and by frequency bucket, sizes before and after collapse, speed, and the folder."""
    title = f"{result['model']} · {_variant(result['emb'])} · {result['dataset']['name']} · seed {result['seed']}"
    console.print()
    say(console, title, "bold")
    show_table(console, _metrics(result["metrics"]["test"], result["buckets"], "test", item_field), "in result.json")
    for name, value in _cost(result).items():
        say(console, f"{name:<17}{value}")
    say_whole(console, f"run folder: {folder}")


def show_evaluation(console: Console, evaluation: dict[str, Any], folder: Path) -> None:
    """AUC and logloss of a run on a split, overall, by item and for the rarest categories, and the folder."""
    run = evaluation["run"]
    compression = Compressed.model_validate(evaluation).compression
    title = f"{run['model']} · {_variant(run['emb'])} · seed {run['seed']} · on {evaluation['dataset']['name']}"
    console.print()
    say(console, f"{title} · tables {compression}" if compression else title, "bold")
    item_field = evaluation.get("item_field")
    metrics = _metrics(evaluation["metrics"], evaluation["buckets"], evaluation["split"], item_field)
    show_table(console, metrics, "in evaluation.json")
    if compression:
        say(console, f"embedding tables: {mebibytes(evaluation['embedding_bytes'])} MiB")
    say_whole(console, f"evaluation: {folder}")


def _variant(emb: dict[str, Any]) -> str:
    return EmbeddingVariant.of(Emb.model_validate(emb)).label


def _metrics(scores: dict[str, Any], buckets: list[dict[str, Any]], split: str, item_field: str | None) -> Table:
    rows, rules = [{"label": "all rows", **scores}], []
    if scores.get("gauc") is not None:
        counted, groups = scores["gauc_groups"], scores["gauc_groups"] + scores["gauc_one_class_groups"]
        rows.append({"label": f"GAUC by {scores['gauc_field']}", "rows": scores["gauc_rows"], "auc": scores["gauc"],
                     "auc_reason": f"{counted:,} of {groups:,} groups"})  # fmt: skip
    for field in (item_field, RAREST, POPULARITY):
        rules.append(len(rows) - 1)
        ends = (LOWEST_TENTH, HIGHEST_TENTH)
        own = [bucket for bucket in buckets if bucket["field"] == field]
        for bucket in (bucket for bucket in own if field != POPULARITY or bucket["bucket"] in ends):
            rows.append({"label": f"{field} {formatting.bucket(bucket['bucket'])}", **bucket})

    def interval(row: dict[str, Any]) -> str | None:
        ends = row.get("auc_ci95")
        return f"{ends[0]:.4f}-{ends[1]:.4f}" if ends else row.get("auc_reason")

    columns = [
        Column(f"{split} split by\ntraining count", "label", words=True),
        Column("rows", "rows", "{:,}".format),
        Column("AUC", "auc", number),
        Column("95 % interval", interval, dropped=4),
        Column("PR-AUC", "pr_auc", number, dropped=1),
        Column("logloss", "logloss", number),
    ]
    if scores.get("best_auc") is not None:
        columns += [Column("reachable\nAUC", "best_auc", number, dropped=3)]
        columns += [Column("reachable\nlogloss", "best_logloss", number, dropped=2)]
    return Table("", columns, rows, rules=rules)


def _cost(result: dict[str, Any]) -> dict[str, str]:
    size, inference, train = result["collapse"], result.get("inference"), result["train"]
    speed = "-" if train["samples_per_s"] is None else f"{train['samples_per_s']:,.0f} samples/s"
    best = "-" if train["best_step"] is None else f"{train['best_step']:,}"
    change, peak = size["max_abs_logit_diff"], train["peak_memory_bytes"]
    times = "-"
    if inference is not None:
        collapsed, single = f"{inference['collapsed_ms']:.1f} ms collapsed", f"{inference['single_ms']:.1f} ms"
        times = f"{collapsed}, {single} single-layer, per {inference['batch_size']:,} rows"
    return {
        "parameters": f"{size['parameters_training']:,} in training → {size['parameters_inference']:,} collapsed",
        "embedding bytes": f"{size['embedding_bytes_training']:,} → {size['embedding_bytes_inference']:,}",
        "collapse": "-" if change is None else f"largest change of a logit {change:.1e}",
        "inference": times,
        "training": f"{speed}, {train['steps']:,} steps, best at {best}",
        "peak memory": "-" if peak is None else f"{peak / 2**20:,.0f} MiB",
    }


def show_prepared(console: Console, prepared: Prepared) -> None:
    """What prepare found: rows, positives and bad rows, per column missing cells and categories, what was merged."""
    manifest = prepared.manifest
    fields, rows = manifest["fields"], manifest["rows"]
    read, train = sum(rows.values()) + manifest["thinned"], rows["train"]

    def share(of: int) -> Any:
        return lambda count: f"{count:,} ({100 * count / of:.1f} %)" if count and of else f"{count:,}"

    columns = [
        Column("column", "field", words=True),
        Column("missing cells", lambda row: manifest["missing"].get(row["field"]), share(read)),
        Column("categories", lambda row: f"{row['categories']:,}" if "categories" in row else "numeric"),
    ]
    if manifest["options"]["min_count"] > 1:
        columns += [Column("merged by\nmin_count", "merged", "{:,}".format),
                    Column("their rows\nin train", "merged_train_rows", share(train))]  # fmt: skip
    total = {key: sum(entry[key] for entry in fields) for key in ("categories", "merged")}
    entries = [*({"field": name} for name in manifest["schema"]["numeric"]), *fields, {"field": "all fields", **total}]
    table = Table(manifest["name"], columns, entries, rules=[len(entries) - 2])
    show_table(console, table, "in its manifest.json")
    splits = [
        Column("split", "0", words=True),
        Column("rows", "1", "{:,}".format),
        Column("positive", "2", "{:,}".format),
        Column("share", lambda split: split[2] / split[1] if split[1] else None, number),
    ]
    show_table(console, Table("", splits, [(name, count, manifest["positives"][name]) for name, count in rows.items()]))
    lines = [f"split {manifest['split']}"]
    if manifest["thinned"]:
        kept = manifest["options"]["train_share"]
        lines.append(f"{manifest['thinned']:,} training rows were left out by dataset.train_share={kept:g}")
        lines.append(f"missing cells are counted in all {read:,} rows, those left out too")
    if manifest["bad_rows"]:
        lines.append(f"{manifest['bad_rows']:,} bad rows were set aside in {prepared.folder / BAD_ROWS}")
    lines += [f"note: {note}" for note in prepared.notes]
    for line in lines:
        say(console, line)
    say_whole(console, f"prepared folder: {prepared.folder}")

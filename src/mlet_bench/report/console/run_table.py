"""The table at the end of a run, and the one of a prepared data set."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from mlet_bench.data.prepared import BAD_ROWS, Prepared
from mlet_bench.errors import printable
from mlet_bench.evaluation.buckets import RAREST


def show_result(console: Console, result: dict[str, Any], folder: Path, item_field: str | None) -> None:
    """AUC and logloss overall and by frequency bucket, sizes before and after collapse, speed, and the folder."""
    emb, data = result["emb"], result["dataset"]
    title = f"{result['model']} · {_mode(emb)} · {data['name']} · seed {result['seed']}"
    table = _metrics(result["metrics"]["test"], result["buckets"], "test", item_field)
    console.print(Group(Text(), Text(printable(title), style="bold"), table, _cost(result), Text()))
    console.print(f"run folder: {folder}", markup=False, soft_wrap=True)


def show_evaluation(console: Console, found: dict[str, Any], folder: Path) -> None:
    """AUC and logloss of a run on a split, overall, by item and for the rarest categories, and the folder."""
    run = found["run"]
    title = f"{run['model']} · {_mode(run['emb'])} · seed {run['seed']} · on {found['dataset']['name']}"
    if found["rank"] is not None:
        title += f" · tables cut to rank {found['rank']}"
    table = _metrics(found["metrics"], found["buckets"], found["split"], found.get("item_field"))
    console.print(Group(Text(), Text(printable(title), style="bold"), table))
    console.print(f"evaluation: {folder}", markup=False, soft_wrap=True)


def _mode(emb: dict[str, Any]) -> str:
    inner = "" if emb["inner"] is None else f" k={emb['inner']}"
    return f"{emb['mode']} d={emb['dim']}{inner}"


def _metrics(test: dict[str, Any], buckets: list[dict[str, Any]], split: str, item: str | None) -> Table:
    known = "best_auc" in test
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(f"{split} split by\ntraining count", no_wrap=True)
    for name in ("rows", "AUC", "95 % interval", "logloss", *(("best\nAUC", "best\nlogloss") if known else ())):
        table.add_column(name, justify="right", no_wrap=True, vertical="bottom")
    table.add_row(*_row("all rows", test, known), end_section="gauc" not in test)
    if "gauc" in test:
        table.add_row(*_grouped(test), *(("", "") if known else ()), end_section=True)
    for field in [*([item] if item else []), RAREST]:
        chosen = [bucket for bucket in buckets if bucket["field"] == field]
        for position, bucket in enumerate(chosen):
            label = f"{field} {'unseen' if bucket['bucket'] == '0' else bucket['bucket']}"
            table.add_row(*_row(label, bucket, known), end_section=position == len(chosen) - 1)
    return table


def _grouped(test: dict[str, Any]) -> list[str | Text]:
    """AUC within groups, over the rows of the groups that count."""
    counted = f"{test['gauc_groups']:,} of {test['gauc_groups'] + test['gauc_one_class_groups']:,} groups"
    return [Text(f"GAUC by {test['gauc_field']}"), f"{test['gauc_rows']:,}", number(test["gauc"]), counted, ""]


def _row(label: str, found: dict[str, Any], known: bool) -> list[str | Text]:
    interval = found["auc_ci95"]
    cells: list[str | Text] = [
        Text(printable(label)),
        f"{found['rows']:,}",
        number(found["auc"]),
        f"{interval[0]:.4f}-{interval[1]:.4f}" if interval else found.get("auc_reason", "-"),
        number(found["logloss"]),
    ]
    return [*cells, *((number(found.get("best_auc")), number(found.get("best_logloss"))) if known else ())]


def _cost(result: dict[str, Any]) -> Table:
    size, inference, train = result["collapse"], result.get("inference"), result["train"]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="left", overflow="fold")
    speed = "-" if train["samples_per_s"] is None else f"{train['samples_per_s']:,.0f} samples/s"
    best = "-" if train["best_step"] is None else f"{train['best_step']:,}"
    change, peak = size["max_abs_logit_diff"], train["peak_memory_bytes"]
    rows = {
        "parameters": f"{size['parameters_training']:,} in training → {size['parameters_inference']:,} collapsed",
        "embedding bytes": f"{size['embedding_bytes_training']:,} → {size['embedding_bytes_inference']:,}",
        "collapse": "-" if change is None else f"largest change of a logit {change:.1e}",
        "inference": "-"
        if inference is None
        else f"{inference['collapsed_ms']:.1f} ms collapsed, {inference['single_ms']:.1f} ms single-layer, "
        f"per {inference['batch_size']:,} rows",
        "training": f"{speed}, {train['steps']:,} steps, best at {best}",
        "peak memory": "-" if peak is None else f"{peak / 2**20:,.0f} MiB",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def show_prepared(console: Console, prepared: Prepared) -> None:
    """What prepare found: rows, positives and bad rows, per column missing cells and categories, what was merged."""
    manifest = prepared.manifest
    merged = manifest["options"]["min_count"] > 1
    read = sum(manifest["rows"].values()) + manifest["thinned"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(manifest["name"]), title_justify="left")
    table.add_column("column")
    for name in ("missing cells", "categories", *(("merged by\nmin_count", "their rows\nin train") if merged else ())):
        table.add_column(name, justify="right", vertical="bottom")
    for name in manifest["schema"]["numeric"]:
        table.add_row(
            Text(printable(name)), _cells(manifest["missing"][name], read), "numeric", *(("", "") if merged else ())
        )
    for entry in manifest["fields"]:
        cells = [_cells(manifest["missing"][entry["field"]], read), f"{entry['categories']:,}"]
        if merged:
            cells += [f"{entry['merged']:,}", _cells(entry["merged_train_rows"], manifest["rows"]["train"])]
        table.add_row(Text(printable(entry["field"])), *cells)
    total = sum(entry["categories"] for entry in manifest["fields"])
    gone = sum(entry["merged"] for entry in manifest["fields"])
    table.add_section()
    table.add_row("all fields", "", f"{total:,}", *((f"{gone:,}", "") if merged else ()))
    console.print(table)
    splits = Table(box=None, pad_edge=False)
    for name in ("split", "rows", "positive", "share"):
        splits.add_column(name, justify="left" if name == "split" else "right")
    for name, rows in manifest["rows"].items():
        positive = manifest["positives"][name]
        splits.add_row(name, f"{rows:,}", f"{positive:,}", f"{positive / rows:.4f}" if rows else "-")
    console.print(splits)
    lines = [f"split {manifest['split']}"]
    if manifest["thinned"]:
        share = manifest["options"]["train_share"]
        lines.append(f"{manifest['thinned']:,} training rows were left out by dataset.train_share={share:g}")
        lines.append(f"missing cells are counted in all {read:,} rows, those left out too")
    if manifest["bad_rows"]:
        lines.append(f"{manifest['bad_rows']:,} bad rows were set aside in {prepared.folder / BAD_ROWS}")
    lines += [f"note: {note}" for note in prepared.notes]
    for line in (*lines, f"prepared folder: {prepared.folder}"):
        console.print(printable(line), markup=False, soft_wrap=True)


def _cells(count: int, of: int) -> str:
    """A count, with its share where there is one."""
    return f"{count:,} ({100 * count / of:.1f} %)" if count and of else f"{count:,}"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

"""The tables at the end of a comparison."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlet_bench.config import monitored_name
from mlet_bench.errors import printable
from mlet_bench.report.console.run_table import number

KEYS = {"lr": "train.lr", "emb_lr": "emb.lr", "emb_l2": "emb.l2"}


def show_tuning(console: Console, found: dict[str, Any], folder: Path) -> None:
    """What was chosen for each arm, what came of it on the seeds, the failures, and every reason for doubt."""
    title = f"{found['model']} · {found['dataset']['name']} · {found['config']['trials']} trials for every arm"
    console.print(Text(f"\n{title}", style="bold"))
    for table in (_chosen(found), _seeds(found)):
        console.print(table)
    for line in (*_failures(found), *_doubts(found), f"comparison: {folder / 'tune.json'}"):
        console.print(printable(line), markup=False, soft_wrap=True)


def _table(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for position, name in enumerate(names):
        table.add_column(name, justify="right" if position else "left", vertical="bottom", overflow="fold")
    return table


def _chosen(found: dict[str, Any]) -> Table:
    names = (
        "lr",
        "emb.lr",
        "l2",
        f"valid {monitored_name(found['monitor'])}\nof that trial",
        "trials",
        "failed",
        "training\nminutes",
    )
    table = _table("chosen on validation", *names)
    for arm in found["arms"]:
        settings = arm["chosen"]["settings"] if arm["chosen"] else {}
        values = [settings.get("lr"), settings.get("emb_lr") or settings.get("lr"), settings.get("emb_l2")]
        value = arm["chosen"]["value"] if arm["chosen"] else None
        cells = [*("-" if each is None else f"{each:g}" for each in values), "-" if value is None else f"{value:.5f}"]
        summary = arm["summary"]
        counts = [str(len(arm["trials"])), str(summary["failed_trials"]), f"{summary['train_minutes']:.1f}"]
        table.add_row(Text(arm["label"]), *cells, *counts)
    return table


def _seeds(found: dict[str, Any]) -> Table:
    singles = sorted(arm["dim"] for arm in found["arms"] if arm["mode"] == "single")
    bases = {"single_same_dim": "AUC - single\nof the same d"} if singles else {}
    if len(singles) > 1:
        bases["single_largest_dim"] = f"AUC - single\nof d={singles[-1]}"
    names = (f"valid {monitored_name(found['monitor'])}", "test AUC", "test logloss", *bases.values())
    table = _table("on the seeds", "seeds", *names, "parameters\nat inference")
    for arm in found["arms"]:
        summary, against = arm["summary"], arm["against"]
        differences = [_difference(against[name]) for name in bases]
        cells = [_spread(summary["valid"]), *(_spread(summary["test"][key]) for key in ("auc", "logloss"))]
        size = f"{summary['parameters']['inference']:,}" if summary["parameters"] else "-"
        table.add_row(Text(arm["label"]), str(summary["valid"]["n"]), *cells, *differences, size)
    return table


def _spread(found: dict[str, Any]) -> str:
    return number(found["mean"]) + ("" if found["sd"] is None else f" ± {found['sd']:.4f}")


def _difference(found: dict[str, Any] | None) -> str:
    if found is None or found["auc"]["mean"] is None:
        return "-"
    auc = found["auc"]
    return f"{auc['mean']:+.4f}" + ("" if auc["t"] is None else f" (t {auc['t']:.1f})")


def _failures(found: dict[str, Any]) -> list[str]:
    lines = []
    for arm in found["arms"]:
        for run in arm["trials"] + arm["seeds"]:
            if run["state"] == "failed":
                which = f"seed {run['seed']}" if "seed" in run else f"trial {run['number']}"
                lines.append(f"failed: {arm['label']}, {which}: {run['error']}")
    return lines


def _doubts(found: dict[str, Any]) -> list[str]:
    """What keeps the table from being the last word."""
    lines = []
    for arm in found["arms"]:
        if arm["chosen"] is None:
            lines.append(f"warning: {arm['label']}: no trial ended well, nothing was chosen")
            continue
        for name, end in arm["chosen"]["at_edge"].items():
            settings, ends = arm["chosen"]["settings"], found["config"]["search"][name]
            value = settings[name] if settings[name] is not None else settings["lr"]
            times = name == "emb_lr" and found["config"]["search"]["emb_lr_as"] == "multiple"
            units = f" ({value / settings['lr']:.3g} times train.lr)" if times else ""
            lines.append(
                f"warning: {arm['label']}: the chosen {KEYS[name]} {value:g}{units} lies at the {end} end of its "
                f"search; search.{name}=[{ends[0]:g},{ends[1]:g}] may be too narrow"
            )
    if len(found["config"]["seeds"]) < 2:
        lines.append("warning: one seed says nothing of the spread; give several, seeds=[1,2,3,4,5]")
    return lines

"""The tables at the end of a comparison."""

from pathlib import Path
from typing import Any

from rich.console import Console

from mlet_bench.analysis.formatting import mean_sd, number
from mlet_bench.analysis.variants import BASELINE
from mlet_bench.config import monitored_name
from mlet_bench.evaluation.statistics import DECIDING_SEEDS, Spread
from mlet_bench.report.console.tables import say, say_whole, show_table
from mlet_bench.report.table import Column, Table

KEYS = {"lr": "train.lr", "emb_lr": "emb.lr", "emb_l2": "emb.l2"}


def show_tuning(console: Console, comparison: dict[str, Any], folder: Path) -> None:
    """The choice for each configuration, its results on the seeds, the failures, and every reason for doubt."""
    trials = comparison["config"]["trials"]
    console.print()
    say(console, f"{comparison['dataset']['name']} · {comparison['model']} · best of {trials} trials each", "bold")
    show_table(console, _chosen(comparison), "in tune.json")
    show_table(console, _seeds(comparison), "in tune.json")
    for line in (*_failures(comparison), *_doubts(comparison)):
        say(console, line)
    say_whole(console, f"mlet-bench report runs={folder} shows it with figures and claims")
    say_whole(console, f"comparison: {folder / 'tune.json'}")


def _chosen(comparison: dict[str, Any]) -> Table:
    def emb_lr(arm: dict[str, Any]) -> float | None:
        settings = arm["chosen"]["settings"] if arm["chosen"] else {}
        return settings.get("emb_lr") or settings.get("lr")

    columns = (
        Column("chosen on validation", "label", words=True),
        Column("lr", "chosen.settings.lr", "{:g}".format),
        Column("emb.lr", emb_lr, "{:g}".format),
        Column("l2", "chosen.settings.emb_l2", "{:g}".format),
        Column(f"valid {monitored_name(comparison['monitor'])}\nof that trial", "chosen.value", "{:.5f}".format),
        Column("trials", lambda arm: len(arm["trials"])),
        Column("failed", "summary.failed_trials", dropped=2),
        Column("training\nminutes", "summary.train_minutes", "{:.1f}".format, dropped=1),
    )
    return Table("", columns, comparison["arms"])


def _seeds(comparison: dict[str, Any]) -> Table:
    singles = sorted(arm["dim"] for arm in comparison["arms"] if arm["mode"] == BASELINE)
    bases = {"single_same_dim": "AUC - single\nof the same d"} if singles else {}
    if len(singles) > 1:
        bases["single_largest_dim"] = f"AUC - single\nof d={singles[-1]}"
    columns = (
        Column("on the seeds", "label", words=True),
        Column("seeds", "summary.valid.n"),
        Column(f"valid {monitored_name(comparison['monitor'])}", "summary.valid", _spread, dropped=3),
        Column("test AUC", "summary.test.auc", _spread),
        Column("test logloss", "summary.test.logloss", _spread, dropped=2),
        *(Column(heading, f"against.{base}.auc", _difference) for base, heading in bases.items()),
        Column("parameters\nat inference", "summary.parameters.inference", "{:,}".format, dropped=1),
    )
    return Table("", columns, comparison["arms"])


def _spread(spread: dict[str, Any]) -> str:
    return mean_sd(Spread(**spread))


def _difference(gain: dict[str, Any]) -> str:
    interval = gain["ci95"]
    half = "" if interval is None else f" ± {(interval[1] - interval[0]) / 2:.4f}"
    return f"{number(gain['mean'], '+.4f')}{half} {gain['verdict'] or 'no pair of runs'}"


def _failures(comparison: dict[str, Any]) -> list[str]:
    lines = []
    for arm in comparison["arms"]:
        for run in arm["trials"] + arm["seeds"]:
            if run["state"] == "failed":
                which = f"seed {run['seed']}" if "seed" in run else f"trial {run['number']}"
                lines.append(f"failed: {arm['label']}, {which}: {run['error']}")
    return lines


def _doubts(comparison: dict[str, Any]) -> list[str]:
    """What keeps the table from being the last word."""
    lines = []
    for arm in comparison["arms"]:
        if arm["chosen"] is None:
            lines.append(f"warning: {arm['label']}: no trial ended well, nothing was chosen")
            continue
        for name, end in arm["chosen"]["at_edge"].items():
            settings, ends = arm["chosen"]["settings"], comparison["config"]["search"][name]
            value = settings[name] if settings[name] is not None else settings["lr"]
            times = name == "emb_lr" and comparison["config"]["search"]["emb_lr_as"] == "multiple"
            units = f" ({value / settings['lr']:.3g} times train.lr)" if times else ""
            lines.append(
                f"warning: {arm['label']}: the chosen {KEYS[name]} {value:g}{units} is at the {end} end of its "
                f"search; search.{name}=[{ends[0]:g},{ends[1]:g}] may be too narrow"
            )
    if len(comparison["config"]["seeds"]) < DECIDING_SEEDS:
        lines.append(f"warning: a verdict needs {DECIDING_SEEDS} seeds or more, for example seeds=[1,2,3,4,5]")
    return lines

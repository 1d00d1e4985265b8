"""What a benchmark measured, in the terminal."""

from pathlib import Path
from typing import Any

from rich.console import Console

from mlet_bench.analysis.variants import EmbeddingVariant
from mlet_bench.report.console.tables import say, say_whole, show_table
from mlet_bench.report.table import Column, Table
from mlet_bench.runs.result import Emb

PARTS = {
    "batch": "fetch the batch",
    "lookup": "look the embeddings up",
    "network_forward": "network, forward",
    "network_backward": "network, backward",
    "lookup_backward": "embeddings, backward",
    "dense_update": "move the network",
    "rows_update": "move the rows",
}


def show_bench(console: Console, bench: dict[str, Any], folder: Path) -> None:
    """A row a mode, a row a part of the requested mode's step, and the lines that compare."""
    requested = EmbeddingVariant.of(Emb.model_validate(bench["emb"]))
    prefixes = {EmbeddingVariant.baseline(requested.dim): "single_"}
    if not requested.is_baseline:
        prefixes[requested] = ""

    def measured(name: str) -> Any:
        return lambda variant: bench[f"{prefixes[variant]}{name}"]

    columns = (
        Column("embedding", "label", words=True),
        Column("ms a step", measured("ms_per_step"), "{:.1f}".format),
        Column("10 to 90 %", measured("ms_per_step_10_90"), lambda ends: "{:.1f} to {:.1f}".format(*ends)),
        Column("samples/s", measured("ms_per_step"), lambda ms: f"{1000 * bench['batch_size'] / ms:,.0f}"),
        Column("share of peak", measured("share_of_peak"), "{:.0%}".format),
    )
    show_table(console, Table("", columns, list(prefixes)))
    parts = [(name, bench["parts_ms"][part]) for part, name in PARTS.items() if part in bench["parts_ms"]]
    heading = f"parts of a step, {requested.curve}"
    show_table(console, Table("", [Column(heading, "0", words=True), Column("ms", "1", "{:.2f}".format)], parts))
    if bench["mlet_over_single"] is not None:
        say(console, f"{requested.mode} over single: {bench['mlet_over_single']:.3f}")
    if bench["search_over_single"] is not None:
        say(console, f"its search over single: {bench['search_over_single']:.3f}")
    say(
        console,
        f"network: {bench['flops_per_sample'] / 1e6:.2f} MFLOP a sample; best product of 4096 × 4096 matrices: "
        f"{bench['peak_flops'] / 1e9:,.0f} GFLOP/s (torch.mm's {bench['torch_mm_flops'] / 1e9:,.0f})",
    )
    if bench["evaluate_over_plain"] is not None:
        say(
            console,
            f"evaluation of the collapsed model: {bench['evaluate_ms']:.2f} ms a batch, "
            f"{bench['evaluate_over_plain']:.3f} of the time with PyTorch's own embedding",
        )
    say_whole(console, f"{folder / 'bench.json'}")

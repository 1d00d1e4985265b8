"""The tables at the end of a benchmark."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

PARTS = {
    "batch": "fetch the batch",
    "lookup": "look the embeddings up",
    "network_forward": "network, forward",
    "network_backward": "network, backward",
    "lookup_backward": "embeddings, backward",
    "dense_update": "move the network",
    "rows_update": "move the rows",
}


def show_bench(console: Console, found: dict[str, Any], folder: Path) -> None:
    """A row a mode, a row a part of the requested mode's step, and the line that compares."""
    emb = found["emb"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("embedding", "ms a step", "10 to 90 %", "samples/s", "share of peak"):
        table.add_column(name, justify="left" if name == "embedding" else "right")
    modes = [("single", "single_")]
    if emb["mode"] != "single":
        modes.append((f"mlet k={emb['inner']}", ""))
    for name, prefix in modes:
        ms, (low, high) = found[f"{prefix}ms_per_step"], found[f"{prefix}ms_per_step_10_90"]
        table.add_row(f"{name} d={emb['dim']}", f"{ms:.1f}", f"{low:.1f} to {high:.1f}",
                      f"{1000 * found['batch_size'] / ms:,.0f}", f"{found[f'{prefix}share_of_peak']:.0%}")  # fmt: skip
    console.print(table)
    parts = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    parts.add_column(f"parts of a step, {modes[-1][0]}")
    parts.add_column("ms", justify="right")
    for key, name in PARTS.items():
        if key in found["parts_ms"]:
            parts.add_row(name, f"{found['parts_ms'][key]:.2f}")
    console.print(parts)
    if found["mlet_over_single"] is not None:
        console.print(f"mlet over single: {found['mlet_over_single']:.3f}")
    console.print(
        f"network: {found['flops_per_sample'] / 1e6:.2f} MFLOP a sample; best product of 4096 × 4096 matrices: "
        f"{found['peak_flops'] / 1e9:,.0f} GFLOP/s (torch.mm's {found['torch_mm_flops'] / 1e9:,.0f})"
    )
    if found["evaluate_over_plain"] is not None:
        console.print(
            f"evaluation of the collapsed model: {found['evaluate_ms']:.2f} ms a batch, "
            f"{found['evaluate_over_plain']:.3f} of the time with PyTorch's own embedding"
        )
    console.print(f"{folder / 'bench.json'}", markup=False)

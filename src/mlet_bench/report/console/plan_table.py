"""What a run on TorchRec would take, in the terminal."""

from rich.console import Console

from mlet_bench.report.console.tables import say, show_table
from mlet_bench.report.table import Column, Table
from mlet_bench.runs.run_plan import RunPlan
from mlet_bench.system.limits import GIB


def show_plan(console: Console, plan: RunPlan) -> None:
    """A row a field, and lines of what a process holds, and of what a step takes and exchanges."""
    tables, world, found = plan.tables, plan.world, plan.forecast
    what = "GPU" if world.device == "cuda" else "process"
    rows = [
        (field, count, tables.bytes_of(count), sharding.replace("_", " "), _where(processes, world.size))
        for field, count, sharding, processes in zip(
            plan.sizes.fields, tables.counts, found.shardings, found.processes, strict=True
        )
    ]
    columns = (
        Column("field", "0", words=True),
        Column("rows", "1", "{:,}".format),
        Column("bytes", "2", "{:,}".format),
        Column("sharding", "3", words=True),
        Column("held by", "4", words=True),
    )
    show_table(console, Table("", columns, rows))
    say(console, f"rows from {plan.sizes.told_by}; bytes: weights of width {tables.width} and {tables.optimizer} state")
    say(
        console,
        f"{world.machines} x {world.on_each} processes, {world.memory_bytes / GIB:,.4g} GiB each; all tables: "
        f"{sum(tables.counts):,} rows, {tables.bytes_of(sum(tables.counts)):,} bytes",
    )
    say(
        console,
        f"a {what} holds {min(found.held):,} to {max(found.held):,} bytes of tables, state and exchanged rows; beside "
        f"them about {plan.beside.bytes:,} of network, gradients and activations",
    )
    say(
        console,
        f"a step of {tables.batch_rows:,} rows: {found.milliseconds:.2f} ms for the tables on the slowest {what}, by "
        "the planner's own model of a machine (not measured; without the network)",
    )
    fetched = tables.exchanged_bytes(world.size)
    say(
        console,
        f"traffic of a {what} a step: at most {2 * fetched:,} bytes of rows there and gradients back (every row of its "
        f"part of the batch different), and {4 * plan.replicated:,} bytes of gradients to average",
    )


def _where(processes: tuple[int, ...], size: int) -> str:
    if len(processes) == 1:
        return f"process {processes[0]}"
    return "all" if len(processes) == size else f"{len(processes)} processes"

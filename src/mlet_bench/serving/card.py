"""README.md of an export: what the model is, what it was trained on, what it scores, how to load it."""

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

from mlet_bench.analysis import formatting
from mlet_bench.analysis.variants import EmbeddingVariant
from mlet_bench.config import TrainCommand
from mlet_bench.data import Prepared
from mlet_bench.evaluation.buckets import RAREST
from mlet_bench.runs.result import Result

CARD = "README.md"
LOADING = {
    "pt2": """program = torch.export.load("model.pt2").module()
logit, probability = program({names})""",
    "onnx": """session = onnxruntime.InferenceSession("model.onnx")
logit, probability = session.run(["logit", "probability"], {{{feeds}}})""",
    "safetensors": """tensors = safetensors.torch.load_file("model.safetensors")  # names and shapes: export.json""",
}


def card(export: dict[str, Any], result: Result, config: TrainCommand, prepared: Prepared) -> str:
    """Markdown; names and values that come from data or config are escaped."""
    variant = EmbeddingVariant.of(result.emb).label
    item_field = config.dataset.item_field
    seed, fingerprint = export["run"]["seed"], export["run"]["fingerprint"]
    parts = [
        f"# {escaped(result.model)}, {escaped(variant)}, on {escaped(result.dataset.name)}",
        f"A click-through-rate model trained with mlet-bench (seed {seed}, run {fingerprint}), its embedding "
        f"multiplied out, exported as {export['format']} with "
        + ("tables in float32." if export["bits"] == 32 else f"tables of {export['bits']}-bit integers.")
        + ("" if export["network_bits"] == 32 else " The weights of its MLPs are 8-bit integers."),
        "## Data",
        table(
            ["split", "rows", "positives"],
            [(name, f"{rows:,}", f"{prepared.manifest['positives'][name]:,}") for name, rows in prepared.rows.items()],
        ),
        f"Split: {escaped(str(prepared.manifest['split']))}. {len(prepared.fields)} fields with "
        f"{sum(prepared.cardinalities):,} ids, {len(prepared.numeric)} numeric columns "
        f"({escaped(str(prepared.manifest['options']['numeric_as']))}).",
        "## Quality",
        _scores(export, result),
        "Intervals are DeLong's for AUC (95 %), for the choice of rows, not over seeds.",
        _buckets(result, [field for field in (item_field, RAREST) if field]),
        "## Size",
        _sizes(export),
        "## Loading it",
        _loading(export),
        "`vocabulary.parquet` (field, value, id) and `encoding.json` say how raw cells become `ids` and `numeric`, in "
        "the order of their lists; a value that is not there gets id 0.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _scores(export: dict[str, Any], result: Result) -> str:
    valid, test = result.metrics.valid, result.metrics.test
    rows = [("run, validation", valid.model_dump()), ("run, test", test.model_dump())]
    rows.append(("this file, test", export["check"]["metrics"]))
    return table(
        ["", "rows", "AUC", "95 % interval", "PR-AUC", "logloss", "calibration"],
        [
            (name, f"{scores['rows']:,}", formatting.number(scores["auc"], ".5f"), _interval(scores.get("auc_ci95")),
             formatting.number(scores.get("pr_auc"), ".5f"), formatting.number(scores["logloss"], ".5f"),
             formatting.number(scores.get("calibration"), ".3f"))
            for name, scores in rows
        ],
    )  # fmt: skip


def _buckets(result: Result, fields: Sequence[str]) -> str:
    rows = [
        (escaped(bucket.field), formatting.bucket(bucket.bucket), f"{bucket.rows:,}",
         formatting.number(bucket.auc, ".4f"), _interval(bucket.auc_ci95), formatting.number(bucket.logloss, ".4f"))
        for field in fields
        for bucket in result.buckets
        if bucket.field == field
    ]  # fmt: skip
    heading = ["field", "training count", "test rows", "AUC", "95 % interval", "logloss"]
    return "Test rows by how often their category occurred in training:\n\n" + table(heading, rows) if rows else ""


def _sizes(export: dict[str, Any]) -> str:
    rows = [(f"`{name}`", f"{known['bytes']:,}") for name, known in export["files"].items()]
    return table(["file", "bytes"], [*rows, ("embedding, in the model", f"{export['embedding_bytes']:,}")])


def _loading(export: dict[str, Any]) -> str:
    names = [*export["inputs"]]
    code = LOADING[export["format"]].format(
        names=", ".join(names), feeds=", ".join(f'"{name}": {name}' for name in names)
    )
    shapes = ", ".join(
        f"`{name}` {known['dtype']}, rows × {known['shape'][1]}" for name, known in export["inputs"].items()
    )
    return f"Inputs: {shapes}. A batch may have any number of rows from one on.\n\n```python\n{code}\n```"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; cells are taken as they are.

    >>> print(table(["a", "b"], [("1", "2")]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("|" + "|".join(cell if cell == "---" else f" {cell} " for cell in line) + "|" for line in lines)


def escaped(text: str) -> str:
    r"""Text as Markdown shows it, in one line, without links, images, HTML or the ends of cells.

    >>> print(escaped("a|b <img> [x](y)\n# _c_"))
    a\|b &lt;img&gt; \[x\](y) \# \_c\_
    """
    return re.sub(r"([\\`*_{}\[\]|#!])", r"\\\1", " ".join(html.escape(text, quote=False).split()))


def _interval(ends: Sequence[float] | None) -> str:
    return formatting.NONE if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"

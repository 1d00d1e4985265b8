"""What a report comes to, in a sentence, and where its runs come from."""

from collections.abc import Sequence
from typing import NamedTuple

from mlet_bench.analysis import formatting
from mlet_bench.analysis.collect import Run
from mlet_bench.analysis.study import Study
from mlet_bench.evaluation.statistics import DECIDING_SEEDS


def conclusion(studies: Sequence[Study]) -> str:
    """The gains of MLET over standard embeddings that were tuned alike, counted by their verdicts."""
    gains = [row.auc_gain for study in studies for row in study.chosen if row.variant.is_method and row.auc_gain]
    if not gains:
        return "No conclusion: no MLET run stands beside a standard embedding (emb=single) with the same d and tuning."
    verdicts = [gain.verdict for gain in gains]
    means = sorted(gain.mean for gain in gains)
    size = formatting.signed(means[0])
    if len(gains) == 1:
        what = (
            f"MLET against the standard embedding (emb=single) with the same d, {gains[0].n} pairs of runs: "
            f"{verdicts[0]}, {size} test AUC."
        )
    else:
        counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ("higher", "lower", "undecided"))
        what = (
            f"MLET against the standard embedding (emb=single) with the same d, {len(gains)} comparisons: {counts}; "
            f"{size} to {formatting.signed(means[-1])} test AUC."
        )
    if max(gain.n for gain in gains) < DECIDING_SEEDS:
        what += f" A verdict needs {DECIDING_SEEDS} seeds."
    if not any(study.comparison.budget.is_tuned or row.tried > 1 for study in studies for row in study.chosen):
        what += " Nothing was tuned, so learning rates alone may explain a gain."
    return what


class Origin(NamedTuple):
    """Where runs come from."""

    dates: str
    versions: str
    commands: list[str]
    """Each once; runs whose logs do not say add none."""

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Origin":
        dates = sorted({run.date for run in runs if run.date})
        versions = sorted({f"{name} {version}" for run in runs for name, version in run.result.software.items()})
        commands = list(dict.fromkeys(run.command for run in runs if run.command))
        return cls(" to ".join(dict.fromkeys([*dates[:1], *dates[-1:]])), ", ".join(versions), commands)

"""spectra.jsonl of the runs of a comparison: one field of each chosen arm, averaged over seeds."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from mlet_bench.analysis.arms import Cell, Comparison
from mlet_bench.runs.result import FieldSpectrum, Movement

Series = list[tuple[float, FieldSpectrum]]
"""Epoch and what was found there, from the start on."""


@dataclass(frozen=True)
class SpectrumTrace:
    cell: Cell
    field: str
    runs: tuple[Series, ...]
    """Of each seed that has spectra."""

    def at(self, place: int, of: Callable[[FieldSpectrum], float | None]) -> float | None:
        """Mean over seeds of a number at one of the evaluations."""
        return _mean([of(series[place][1]) for series in self.runs])

    def moved(self, of: Callable[[Movement], float | None]) -> float | None:
        """Mean over seeds and over the steps that were looked at."""
        found = [[one.movement for _, one in series if one.movement] for series in self.runs]
        return _mean([_mean([of(one) for one in movements]) for movements in found])

    def ranks(self) -> dict[float, float]:
        """Epoch → effective rank, mean over the seeds that were evaluated there."""
        found: dict[float, list[float]] = {}
        for series in self.runs:
            for epoch, one in series:
                if one.effective_rank is not None:
                    found.setdefault(round(epoch, 6), []).append(one.effective_rank)
        return {epoch: fmean(values) for epoch, values in sorted(found.items())}

    def singular_values(self, part: float) -> list[float]:
        """Of E, from the largest, at the evaluation that lies this part of the way through; means over seeds."""
        chosen = [series[round(part * (len(series) - 1))][1].singular_values for series in self.runs]
        return [fmean(values) for values in zip(*(one["E"] for one in chosen if one), strict=False)]


def traced(comparison: Comparison) -> list[SpectrumTrace]:
    """The chosen arms that have spectra, on the item field, or else on the field with the most rows."""
    arms = [comparison.chosen(cell) for cell in comparison.cells]
    lines = [run.spectra[0] for arm in arms for run in arm.runs.values() if run.spectra and run.spectra[0].fields]
    if not lines:
        return []
    rows = {name: one.rows for line in lines for name, one in line.fields.items()}
    item = comparison.item_field
    field = item if item in rows else max(rows, key=lambda name: rows[name])
    found = []
    for arm in arms:
        runs = [
            [(line.epoch, line.fields[field]) for line in run.spectra if field in line.fields]
            for _, run in sorted(arm.runs.items())
        ]
        if any(runs):
            found.append(SpectrumTrace(arm.cell, field, tuple(series for series in runs if series)))
    return found


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None

"""Which settings a trial has: quasi-random ones that all configurations share, then TPE's, from its own results.

Nothing is kept on disk: the same config and the same results propose the same settings again.
"""

import math
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.distributions import FloatDistribution

from mlet_bench.config import SearchConfig

EDGE = 0.1
"""The outermost part of a range, on its logarithmic scale, in which a chosen value counts as lying at its end."""


@dataclass(frozen=True)
class Settings:
    """What is tuned; `emb_lr` None: train.lr."""

    lr: float
    emb_lr: float | None
    emb_l2: float


class Search:
    """The proposals for one configuration: `ask` for the next settings, `tell` what came of them."""

    def __init__(self, config: SearchConfig, base: Settings, seed: int) -> None:
        """`base` has what is not searched."""
        self.config, self.base = config, base
        self.own = self._settings({})
        self._shift_P = np.random.default_rng(seed).random(len(config.ranges))
        self._asked = 0
        self._trial: optuna.Trial | None = None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(seed=seed % 2**32, n_startup_trials=1)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)

    @property
    def highest(self) -> Settings:
        """The largest of everything that a trial can have."""
        return self._settings(dict.fromkeys(self.config.ranges, 1.0))

    def ask(self) -> Settings:
        number, self._asked = self._asked, self._asked + 1
        if self.config.own_first and number == 0:
            units = self._units(self.own)
            if all(0 <= unit <= 1 for unit in units.values()):  # else TPE cannot be told of it
                self._ask(units)
            return self.own
        if number < self.config.startup:
            units = dict(zip(self.config.ranges, quasi_random(number, self._shift_P).tolist(), strict=True))
            return self._settings(self._ask(units))
        return self._settings(self._ask(None))

    def tell(self, value: float | None) -> None:
        """What the settings asked for last reached on validation, the higher the better; None: the trial failed."""
        trial, self._trial = self._trial, None
        if trial is not None:
            state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
            self._study.tell(trial, value, state)

    def _ask(self, units: dict[str, float] | None) -> dict[str, float]:
        if units is not None:
            self._study.enqueue_trial(units)
        self._trial = self._study.ask({name: FloatDistribution(0, 1) for name in self.config.ranges})
        return {name: float(unit) for name, unit in self._trial.params.items()}

    def _settings(self, units: dict[str, float]) -> Settings:
        """Settings at a point of the unit cube, to three digits, so that a command can name them; no point: our own."""
        search, zero, l2_unit = self.config, self.config.emb_l2_zero, units.get("emb_l2")
        lr = _value(search.lr, units.get("lr"))
        lr = self.base.lr if lr is None else lr
        emb_lr = _value(search.emb_lr, units.get("emb_lr"))
        if emb_lr is None:
            emb_lr = self.base.emb_lr
        elif search.emb_lr_as == "multiple":
            emb_lr = _rounded(emb_lr * lr)
        if l2_unit is not None and l2_unit < zero:
            return Settings(lr, emb_lr, 0.0)
        l2 = _value(search.emb_l2, None if l2_unit is None else (l2_unit - zero) / (1 - zero))
        return Settings(lr, emb_lr, self.base.emb_l2 if l2 is None else l2)

    def _units(self, settings: Settings) -> dict[str, float]:
        """Where settings lie in the unit cube; a value outside of its range lies outside of the cube."""
        units = {name: _unit(ends, self.value(name, settings)) for name, ends in self.config.ranges.items()}
        zero = self.config.emb_l2_zero
        if zero and "emb_l2" in units:
            if settings.emb_l2 == 0:
                units["emb_l2"] = zero / 2
            elif units["emb_l2"] >= 0:
                units["emb_l2"] = zero + units["emb_l2"] * (1 - zero)
        return units

    def value(self, name: str, settings: Settings) -> float:
        """What `settings` has of something that is searched, in the units of its range."""
        if name == "emb_lr":
            emb_lr = settings.lr if settings.emb_lr is None else settings.emb_lr
            return emb_lr / settings.lr if self.config.emb_lr_as == "multiple" else emb_lr
        return settings.lr if name == "lr" else settings.emb_l2

    def at_edge(self, settings: Settings) -> dict[str, str]:
        """Which of the settings lie in the outermost tenth of their range or beyond, and at which end of it.

        No L2 at all is the end of no search: there is nothing beyond it.
        """
        found = {}
        for name, ends in self.config.ranges.items():
            value = self.value(name, settings)
            if value > 0 and not EDGE <= _unit(ends, value) <= 1 - EDGE:
                found[name] = "low" if _unit(ends, value) < EDGE else "high"
        return found


def quasi_random(number: int, shift_P: np.ndarray) -> np.ndarray:
    """Point `number` of a sequence that fills the unit cube of P axes evenly, however many points are taken.

    The R sequence of M. Roberts (2018, "The unreasonable effectiveness of quasirandom sequences"), shifted by
    `shift_P`: steps of 1/g, 1/g², … with g^(P+1) = g + 1.
    """
    axes, ratio = len(shift_P), 2.0
    for _ in range(60):
        ratio = (1 + ratio) ** (1 / (axes + 1))
    steps_P = ratio ** -np.arange(1.0, axes + 1)
    return np.asarray((shift_P + number * steps_P) % 1)


def _value(searched: tuple[float, float] | float | None, unit: float | None) -> float | None:
    """The value at `unit` of a range, or the one value given; None: the config's own."""
    if not isinstance(searched, tuple):
        return searched
    low, high = searched
    return None if unit is None else _rounded(low * (high / low) ** unit)


def _unit(ends: tuple[float, float], value: float) -> float:
    """Where a value lies between the ends of its range on a logarithmic scale: 0 at the low end, 1 at the high one."""
    if value <= 0:
        return -math.inf
    return math.log(value / ends[0]) / math.log(ends[1] / ends[0])


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")

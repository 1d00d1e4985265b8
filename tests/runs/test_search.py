"""What a trial is given: at first the same for every configuration, within its ranges, and the same on another day."""

from typing import Any

import numpy as np
import pytest

from mlet_bench.commands.tune import search_of
from mlet_bench.config import TuneCommand, convert_command
from mlet_bench.config.compose import Composer
from mlet_bench.runs.search import Search, Settings, quasi_random

WIDE = ("search.lr=[0.0001,0.1]", "search.emb_lr=[0.1,10]", "search.emb_l2=[0.001,1]")


def search(*words: str) -> Search:
    return search_of(convert_command(TuneCommand, Composer("tune").one(words).values))


def asked(made: Search, values: list[float | None]) -> list[Settings]:
    found = []
    for value in values:
        found.append(made.ask())
        made.tell(value)
    return found


def test_first_proposals_do_not_depend_on_results_and_later_ones_do() -> None:
    words = (*WIDE, "search.startup=6")
    rising, falling = [float(i) for i in range(12)], [float(-i) for i in range(12)]
    failing: list[float | None] = [None if i % 2 else float(i) for i in range(12)]
    up, down, bad = (asked(search(*words), list(values)) for values in (rising, falling, failing))
    assert up[:6] == down[:6] == bad[:6]
    assert len(set(up)) == 12
    assert up[6:] != down[6:]
    assert asked(search(*words), list(rising)) == up  # nothing is remembered, and nothing else is drawn
    assert asked(search(*words, "seed=2"), list(rising))[1:] != up[1:]


def test_tpe_comes_nearer_to_the_best_than_chance() -> None:
    made, best = search("search.lr=[0.0001,0.1]", "search.emb_lr=null", "search.startup=8"), 0.02
    distances = []
    for _ in range(40):
        settings = made.ask()
        distances.append(abs(np.log(settings.lr / best)))
        made.tell(-float(distances[-1]))
    assert np.median(distances[20:]) < np.median(distances[1:8]) / 2


def test_every_proposal_lies_within_its_range() -> None:
    found = asked(search(*WIDE, "search.own_first=false", "search.startup=100"), [0.5] * 120)
    assert all(0.0001 <= each.lr <= 0.1 and 0.001 <= each.emb_l2 <= 1 for each in found)
    assert all(0.0995 <= (each.emb_lr or 0) / each.lr <= 10.05 for each in found)
    assert all(float(f"{each.lr:.3g}") == each.lr for each in found)
    absolute = asked(search(*WIDE, "search.emb_lr_as=absolute"), [0.5] * 50)[1:]
    assert all(0.1 <= (each.emb_lr or 0) <= 10 for each in absolute)


def test_number_is_that_one_and_null_is_the_configs() -> None:
    made = search("search.lr=null", "train.lr=0.02", "search.emb_lr=3", "search.emb_l2=[0.1,1]", "emb.l2=0.2")
    first, second = asked(made, [0.5, 0.6])
    assert first == Settings(0.02, 0.06, 0.2)
    assert (second.lr, second.emb_lr) == (0.02, 0.06)
    follows = search("search.emb_lr=null", "search.emb_l2=0.3")
    assert all((each.emb_lr, each.emb_l2) == (None, 0.3) for each in asked(follows, [0.5] * 3))


def test_share_of_the_trials_without_l2() -> None:
    found = asked(search(*WIDE, "search.emb_l2_zero=0.25", "search.startup=201"), [0.5] * 201)[1:]
    none = [each for each in found if each.emb_l2 == 0]
    assert 45 <= len(none) <= 55
    rest = np.log10([each.emb_l2 for each in found if each.emb_l2])
    assert np.histogram(rest, bins=3, range=(-3, 0))[0] == pytest.approx([50, 50, 50], abs=6)


def test_own_settings_outside_of_the_ranges_are_a_trial_all_the_same() -> None:
    made = search(*WIDE, "train.lr=0.5", "emb.l2=0.0001", "search.startup=2")
    found = asked(made, [0.9, 0.5, 0.5])
    assert found[0] == Settings(0.5, None, 0.0001)
    assert made.at_edge(found[0]) == {"lr": "high", "emb_l2": "low"}


CASES: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"lr": 0.003, "emb_lr": 0.003, "emb_l2": 0.03}, {}),
    ({"lr": 0.003, "emb_lr": None, "emb_l2": 0.0}, {}),
    ({"lr": 0.0001, "emb_lr": 0.001, "emb_l2": 0.9}, {"lr": "low", "emb_lr": "high", "emb_l2": "high"}),
    ({"lr": 0.09, "emb_lr": 0.01, "emb_l2": 0.0015}, {"lr": "high", "emb_lr": "low", "emb_l2": "low"}),
]


@pytest.mark.parametrize(("settings", "edges"), CASES)
def test_ends_of_a_range(settings: dict[str, Any], edges: dict[str, str]) -> None:
    assert search(*WIDE).at_edge(Settings(**settings)) == edges


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_quasi_random_points_fill_the_cube_more_evenly_than_chance(axes: int) -> None:
    rng, count = np.random.default_rng(0), 64
    points = np.stack([quasi_random(number, np.full(axes, 0.3)) for number in range(count)])
    assert points.min() >= 0
    assert points.max() < 1
    corners = rng.random((500, axes))

    def discrepancy(points_NP: np.ndarray) -> float:
        inside = (points_NP[None] < corners[:, None]).all(2).mean(1)
        return float(np.abs(inside - corners.prod(1)).max())

    chance = np.median([discrepancy(rng.random((count, axes))) for _ in range(50)])
    assert discrepancy(points) < 0.7 * chance

"""The generated data set: known truth, the same popularity and difficulty for both structures."""

import numpy as np
import pytest

from mlet_bench import data
from mlet_bench.commands.prepare import best_reachable
from mlet_bench.config import SyntheticConfig
from mlet_bench.data.prepared import Prepared
from mlet_bench.data.sources import shapes, synthetic
from mlet_bench.data.sources.bad_rows import Reading
from mlet_bench.data.sources.synthetic import _World, calibrate, expected_auc
from mlet_bench.errors import UserError
from tests.conftest import dataset_config, unheard


def config(**changes: object) -> SyntheticConfig:
    found = dataset_config("synthetic", **{"rows": 36_000, **changes})
    assert isinstance(found, SyntheticConfig)
    return found


def prepare(**changes: object) -> Prepared:
    return data.prepared_for(config(**changes), best=best_reachable, progress=unheard)


def test_truth_scores_the_wanted_auc_in_both_structures() -> None:
    best = {}
    for structure in ("shared", "independent"):
        prepared = prepare(structure=structure)
        assert prepared.rows == {"train": 30_000, "valid": 3_000, "test": 3_000}
        for split in ("valid", "test"):
            best[structure, split] = prepared.manifest["best"][split]["auc"]
            assert prepared.manifest["best"][split]["auc"] == pytest.approx(0.85, abs=0.02)
        rows = sum(bucket["rows"] for bucket in prepared.manifest["best"]["test"]["buckets"])
        assert rows == 28 * 3_000  # 26 fields, rarest and popularity
    assert best["shared", "test"] == pytest.approx(best["independent", "test"], abs=0.02)


@pytest.fixture(scope="module")
def worlds() -> dict[str, _World]:
    """Of both structures; scale and bias, which take most of the time, are found from fewer rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "CALIBRATION_ROWS", 2_000)
        criteo = shapes.criteo()
        return {structure: _World(config(structure=structure), criteo) for structure in ("shared", "independent")}


def test_both_structures_have_the_same_popularity(worlds: dict[str, _World]) -> None:
    for one, other in zip(worlds["shared"].cdfs, worlds["independent"].cdfs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_shared_vectors_lie_near_a_subspace_and_independent_ones_do_not(worlds: dict[str, _World]) -> None:
    for structure, rank in (("shared", 2), ("independent", 16)):
        vectors = worlds[structure].vectors[2]
        singular = np.linalg.svd(vectors, compute_uv=False)
        energy = np.cumsum(singular**2) / (singular**2).sum()
        assert energy[rank - 1] > 0.97
        assert energy[rank // 2 - 1] < 0.9
        assert (vectors**2).sum(1).mean() == pytest.approx(1, rel=0.05)


def test_same_seed_same_rows_another_seed_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "CALIBRATION_ROWS", 2_000)
    reading = Reading(1_000, None, 0.0)
    one, same, other = (
        next(iter(data.source_for(config(rows=1_000, seed=seed)).tables(reading))) for seed in (3, 3, 4)
    )
    assert one.equals(same)
    assert not one.equals(other)


def test_expected_auc_against_all_pairs() -> None:
    p = np.sort(np.random.default_rng(0).random(60))
    better = p[:, None] > p[None, :]
    pair = p[:, None] * (1 - p[None, :]) * ~np.eye(60, dtype=bool)
    assert expected_auc(p) == pytest.approx((pair * better).sum() / pair.sum())


@pytest.mark.parametrize("auc", [0.6, 0.8, 0.95])
def test_calibration_meets_auc_and_rate(auc: float) -> None:
    score = np.random.default_rng(1).standard_normal(20_000)
    scale, bias = calibrate(score, auc, 0.25)
    p = 1 / (1 + np.exp(-(bias + scale * np.sort(score))))
    assert p.mean() == pytest.approx(0.25, abs=1e-9)
    assert expected_auc(p) == pytest.approx(auc, abs=1e-9)


def test_rank_of_independent_vectors_is_no_choice() -> None:
    sources = [data.source_for(config(structure="independent", rank=rank)) for rank in (1, 5)]
    assert sources[0].options() == sources[1].options()


def test_the_default_shape_makes_the_folder_that_it_made_before_there_were_shapes() -> None:
    assert data.source_for(config()).options() == {
        "generator": 1, "seed": 0, "rows": 36_000, "structure": "shared", "rank": 2, "vector_dim": 16, "best_auc": 0.85,
    }  # fmt: skip


def test_avazus_shape_has_nearly_all_categories_in_two_fields_and_sees_most_of_them_a_few_times() -> None:
    prepared = prepare(shape="avazu", rows=100_000, structure="independent")
    assert (prepared.numeric, len(prepared.fields)) == (("I1",), 21)
    sizes = dict(zip(prepared.fields, prepared.cardinalities, strict=True))
    assert sizes["C9"] + sizes["C10"] > 0.9 * sum(sizes.values())
    counts = {field: prepared.vocabulary_table(field).column("train_count").to_numpy() for field in ("C9", "C10")}
    assert counts["C9"][0] == pytest.approx(0.8 * 83_333, rel=0.01)
    for count in counts.values():
        assert ((count > 0) & (count < 10)).mean() > 0.9
    assert shapes.avazu(1_000_000).cardinalities["C10"] == 10 * shapes.avazu(100_000).cardinalities["C10"] + 6


def test_more_rows_than_avazus_shape_can_name_are_refused() -> None:
    with pytest.raises(UserError, match=r"dataset\.rows=6000001: at most 6000000 with dataset\.shape=avazu"):
        data.source_for(config(shape="avazu", rows=6_000_001))

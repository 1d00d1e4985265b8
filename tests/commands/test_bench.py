"""bench: what it counts, what it writes."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlet_bench import cli
from mlet_bench.data.sources import criteo_like
from mlet_bench.report.console.bench_table import PARTS
from mlet_bench.training import speed
from tests.conftest import Ended

Command = Callable[..., Ended]


def test_rows_are_of_the_shape_and_within_their_tables() -> None:
    split = criteo_like.rows_like_criteo([5, 1, 1000], 4000, seed=1)
    assert split.ids_BF.shape == (4000, 3)
    assert split.ids_BF.min(0).tolist() == [0, 0, 0]
    assert (split.ids_BF.max(0) < [5, 1, 1000]).all()
    share = np.bincount(split.ids_BF[:, 0]) / 4000
    expected = np.arange(1, 6) ** -1.05
    np.testing.assert_allclose(share, expected / expected.sum(), atol=0.03)
    again = criteo_like.rows_like_criteo([5, 1, 1000], 4000, seed=1)
    assert (split.ids_BF == again.ids_BF).all()
    assert sum(criteo_like.CARDINALITIES["filtered"]) == 909_698
    assert sum(criteo_like.CARDINALITIES["unfiltered"]) == 33_762_577


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(criteo_like.CARDINALITIES, "filtered", (50,) * 26)
    monkeypatch.setattr(speed, "PEAK_SIZE", 64)
    monkeypatch.setattr(speed, "WARM_UP", 1)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "words",
    [
        "model=dcn emb=mlet emb.inner=8",
        "model=deepfm train.update=exact",
        pytest.param("emb=hash", marks=pytest.mark.more),
        "emb=hash emb.inner=8",
        "emb=pep",
    ],
)
def test_result_adds_up(command: Command, words: str) -> None:
    ended = command(
        "bench", *words.split(), "steps=3", "train.batch_size=32", "hardware.threads=1", "hydra.run.dir=here"
    )
    assert ended.code == cli.DONE
    result = json.loads(Path("here/bench.json").read_text())
    other = "emb=" in words
    assert result["samples_per_s"] == pytest.approx(32_000 / result["ms_per_step"])
    assert result["share_of_peak"] == pytest.approx(
        result["flops_per_sample"] * result["samples_per_s"] / result["peak_flops"]
    )
    if other:
        assert result["mlet_over_single"] == pytest.approx(result["ms_per_step"] / result["single_ms_per_step"])
        name = next(name for name in ("mlet", "hash 0.5", "pep 0.1") if name.split()[0] in words)
        assert f"{name} over single" in ended.out
        assert ("k = 8" in ended.out) == ("inner" in words)
    else:
        assert result["mlet_over_single"] is None
        assert result["ms_per_step"] == result["single_ms_per_step"]
    assert set(result["parts_ms"]) == set(PARTS)
    assert all(ms > 0 for ms in result["parts_ms"].values())
    assert (result["search_over_single"] is not None) == ("pep" in words)
    assert ("its search over single" in ended.out) == ("pep" in words)
    if "hash" in words or "pep" in words:  # which nothing of PyTorch's own does
        assert result["evaluate_over_plain"] is None
    else:
        assert result["evaluate_over_plain"] == pytest.approx(result["evaluate_ms"] / result["plain_evaluate_ms"])
    assert list(Path().iterdir()) == [Path("here")]


@pytest.mark.parametrize(
    ("words", "needs"),
    [
        ("steps=0", "steps=0"),
        ("categories=all", "unfiltered"),
        ("model.mlp=5", "model"),
        ("emb.inner=0 emb=mlet", "inner"),
    ],
)
def test_mistakes(command: Command, workplace: Path, words: str, needs: str) -> None:
    ended = command("bench", *words.split())
    assert ended.code == cli.MISTAKE
    assert needs in ended.err
    assert ended.err.count("\n") == 1
    assert list(workplace.iterdir()) == []


def test_too_much_for_the_memory_is_said_before(command: Command, workplace: Path) -> None:
    ended = command("bench", "emb=mlet", "emb.inner=100000000", "categories=unfiltered")
    assert ended.code == cli.MISTAKE
    assert "bytes of memory" in ended.err
    assert list(workplace.iterdir()) == []

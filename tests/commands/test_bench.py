"""bench: what it counts, what it writes."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mlet_bench import cli
from mlet_bench.commands import bench
from mlet_bench.config import BenchCommand, convert_command
from mlet_bench.config.compose import Composer
from mlet_bench.data.sources import criteo_like
from mlet_bench.models import linear
from tests.conftest import Ended

Command = Callable[..., Ended]


def config(*words: str) -> BenchCommand:
    return convert_command(BenchCommand, Composer("bench").one(words).values)


def multiplied(widths: list[int]) -> int:
    return sum(a * b for a, b in itertools.pairwise(widths))


@pytest.mark.parametrize("onednn", [True, False])
def test_flops_are_those_of_the_products(monkeypatch: pytest.MonkeyPatch, onednn: bool) -> None:
    """Forward, and backward by inputs and weights, two operations each; DLRM's numeric columns need no gradient."""
    monkeypatch.setattr(linear, "HAS_ONEDNN", onednn and linear.HAS_ONEDNN)
    inputs = 26 * 16 + 13
    dcn = 6 * (4 * inputs + multiplied([inputs, 400, 400, 400, 1]))
    found = bench.flops_per_sample(config("model=dcn"))
    assert found == pytest.approx(dcn, rel=0.01)
    pairs = 27 * 26 // 2
    dlrm = 6 * (multiplied([13, 512, 256, 64, 16]) + multiplied([pairs + 16, 512, 256, 1])) + 4 * 27 * 27 * 16
    dlrm -= 2 * 13 * 512
    assert bench.flops_per_sample(config("model=dlrm", "emb=mlet")) == pytest.approx(dlrm, rel=0.01)


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
    monkeypatch.setattr(bench, "PEAK_SIZE", 64)
    monkeypatch.setattr(bench, "WARM_UP", 1)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("words", ["model=dcn emb=mlet emb.inner=8", "model=deepfm", "model=dlrm train.update=exact"])
def test_result_adds_up(command: Command, words: str) -> None:
    ended = command("bench", *words.split(), "steps=3", "train.batch_size=32", "hydra.run.dir=here")
    assert ended.code == cli.DONE
    found = json.loads(Path("here/bench.json").read_text())
    mlet = "mlet" in words
    assert found["samples_per_s"] == pytest.approx(32_000 / found["ms_per_step"])
    assert found["share_of_peak"] == pytest.approx(
        found["flops_per_sample"] * found["samples_per_s"] / found["peak_flops"]
    )
    if mlet:
        assert found["mlet_over_single"] == pytest.approx(found["ms_per_step"] / found["single_ms_per_step"])
        assert "mlet k=8 d=16" in ended.out
    else:
        assert found["mlet_over_single"] is None
        assert found["ms_per_step"] == found["single_ms_per_step"]
    assert set(found["parts_ms"]) == set(benchmark_parts())
    assert all(ms > 0 for ms in found["parts_ms"].values())
    assert list(Path().iterdir()) == [Path("here")]


def benchmark_parts() -> tuple[str, ...]:
    from mlet_bench.report.console.bench_table import PARTS

    return tuple(PARTS)


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


def test_peak_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "PEAK_SIZE", 256)
    torch_mm, best = bench._peaks(torch.device("cpu"))
    assert best >= torch_mm > 1e8

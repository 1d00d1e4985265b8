"""One sweep over every mode that makes tables smaller, at a tenth."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from mlet_bench import cli, load_model
from mlet_bench.config import EMBEDDINGS
from mlet_bench.config.emb_base import SmallerEmbConfig
from mlet_bench.data.prepared import Prepared
from tests.commands.test_train import result_of
from tests.conftest import Ended, prepare

MODES = [mode for mode, section in EMBEDDINGS.items() if issubclass(section, SmallerEmbConfig)]
TOO_SMALL = {"qr", "lpt", "alpt"}
"""Two tables of 2√n rows; an eighth and a quarter are what bits come to."""
WITH_MLET = ("hash", "qr", "mixed", "cafe", "adaembed", "fiited", "pep", "lpt")
"""Those whose rows emb.inner trains in two layers."""
ROWS = 3600
SWEEP = ("train", "-m", "dataset=synthetic", f"dataset.rows={ROWS}", "model=dcn", "model.mlp=[8]",
         "train.batch_size=500", "hardware.threads=1", f"emb={','.join(MODES)}", "emb.ratio=0.1")  # fmt: skip


def test_all_end_well_at_a_tenth_or_say_what_they_can_reach(command: Callable[..., Ended], workplace: Path) -> None:
    ended = command(*SWEEP)
    assert ended.code == cli.FAILED
    for mode in TOO_SMALL:
        assert f"emb.ratio=0.1: too small for emb={mode} and these fields" in ended.out + ended.err
    prepared = prepare("synthetic", rows=ROWS)
    for mode in set(MODES) - TOO_SMALL:
        (done,) = Path(f"outputs/synthetic/dcn/{mode}").glob("*/DONE")
        single = 4 * 16 * sum(prepared.cardinalities)
        sizes = result_of(done.parent)["collapse"]
        assert 0.05 * single < sizes["embedding_bytes_inference"] <= 0.1 * single, mode
        assert sizes["ratio"] == pytest.approx(sizes["embedding_bytes_inference"] / single)
        least = 200 if mode == "qr" else 10
        whole = 4 * 16 * sum(ids for ids in prepared.cardinalities if ids < least)
        assert sizes["ratio_small"] == pytest.approx((sizes["embedding_bytes_inference"] - whole) / (single - whole))
        assert_loaded_model_gives_the_logits(done.parent, prepared)


def assert_loaded_model_gives_the_logits(folder: Path, prepared: Prepared) -> None:
    test = prepared.split("test")
    with torch.no_grad():
        logit_B = load_model(folder)(torch.from_numpy(test.ids_BF), torch.from_numpy(test.numeric_BN)).numpy()
    stored = pq.read_table(folder / "predictions.parquet").column("logit").to_numpy()
    np.testing.assert_allclose(logit_B, stored, atol=1e-6)


@pytest.mark.more
def test_with_mlet_over_their_rows_too(command: Callable[..., Ended], workplace: Path) -> None:
    ended = command(*SWEEP, f"emb={','.join(WITH_MLET)}", "emb.ratio=0.4", "emb.inner=16")
    assert ended.code == cli.DONE
    for mode in WITH_MLET:
        (done,) = Path(f"outputs/synthetic/dcn/{mode}").glob("*/DONE")
        assert_loaded_model_gives_the_logits(done.parent, prepare("synthetic", rows=ROWS))

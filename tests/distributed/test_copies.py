"""Several processes that each have the whole model, without TorchRec: as one process."""

import json
from pathlib import Path

import pytest

from mlet_bench import load_model
from tests.distributed.launcher import Forked, relative
from tests.processes import Running

pytestmark = pytest.mark.slow
WORDS = ["train", "dataset.rows=4000", "train.batch_size=200", "train.eval_every=null", "train.epochs=1", "emb=mlet",
         "emb.inner=8", "emb.dim=4", "model.bottom_mlp=[8]", "model.top_mlp=[8]", "hardware.threads=1"]  # fmt: skip


@pytest.mark.parametrize(
    ("processes", "rule"),
    [
        (2, ("train.optimizer=adam",)),
        pytest.param(3, ("train.optimizer=rowwise_adagrad", "emb.lr=0.005"), marks=pytest.mark.more),
    ],
)
def test_copies_train_as_one_process(processes: int, rule: tuple[str, ...], workplace: Path) -> None:
    """An epoch of 17 steps, the last one of 133 rows; no file tells how many processes there were."""
    words = [*WORDS, *rule]
    assert Running([*words, "hydra.run.dir=alone"], workplace).ended().code == 0
    ends = Forked(processes, [*words, "hydra.run.dir=run"], workplace).ended()
    assert [end.code for end in ends] == [0] * processes, ends
    assert all(end.out == end.err == "" for end in ends[1:])
    assert {path.name for path in Path("run").iterdir()} == {path.name for path in Path("alone").iterdir()}
    one, other = load_model("alone").state_dict(), load_model("run").state_dict()
    apart = {name: relative(one[name], other[name]) for name in one}
    assert max(apart.values()) < 1e-5, apart
    alone, ours = (json.loads(Path(folder, "result.json").read_text()) for folder in ("alone", "run"))
    for split in ("valid", "test"):
        assert ours["metrics"][split]["auc"] == pytest.approx(alone["metrics"][split]["auc"], abs=5e-4)
        assert ours["metrics"][split]["rows"] == alone["metrics"][split]["rows"]

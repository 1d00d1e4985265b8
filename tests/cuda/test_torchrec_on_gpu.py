"""Tables that TorchRec holds on a GPU, in one process, against our own on the same GPU."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from mlet_bench import cli
from mlet_bench.system.processes import ALONE
from mlet_bench.system.several import joined
from tests.conftest import Ended
from tests.distributed.launcher import ROWS, TIMID, relative

GPU = torch.device("cuda")
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"),
    pytest.mark.skipif(find_spec("torchrec") is None, reason="TorchRec is not installed (make setup-torchrec)"),
]
Command = Callable[..., Ended]


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rowwise_adagrad", "adam"])
@pytest.mark.parametrize("mode", ["single", "mlet", "hash"])
@pytest.mark.parametrize("model", ["dlrm", "dcn"])
def test_twenty_steps_are_those_of_our_own_tables(model: str, mode: str, optimizer: str) -> None:
    from tests.distributed.equal_steps import STEPS, Training, random_rows

    with joined(GPU, {}, group=True) as processes:
        case = (model, mode, optimizer, "auto")
        one = Training(random_rows(), case, ALONE, sharded=False, device=GPU)
        other = Training(random_rows(), case, processes, sharded=True, device=GPU)
        for training in (one, other):
            training.steps(STEPS)
        (whole, network), (shards, other_network) = one.collapsed(), other.collapsed()
        expected_VD = whole.table.weight.detach()
        found_VD = torch.cat([rows_ND for _, _, rows_ND in shards.sharded.held()])
        assert found_VD.device.type == "cuda"
        assert relative(expected_VD, found_VD) < 1e-5
        assert relative(network, other_network) < 1e-5


@pytest.mark.parametrize("optimizer", ["rowwise_adagrad", "adam"])
def test_a_run_is_that_of_our_own_tables(command: Command, optimizer: str) -> None:
    words = ("train", *ROWS, *TIMID, "emb=mlet", "emb.inner=16", f"train.optimizer={optimizer}")
    own = ("hardware=cuda", "hardware.precision=float32", "hydra.run.dir=own")
    assert command(*words, *own).code == cli.DONE
    ended = command(*words, "hardware=torchrec", "hardware.device=cuda", "hydra.run.dir=run")
    assert ended.code == cli.DONE, ended.err
    ours, own_result = (json.loads(Path(folder, "result.json").read_text()) for folder in ("run", "own"))
    assert ours["hardware"]["gpu"] == torch.cuda.get_device_name()
    for split in ("valid", "test"):
        assert ours["metrics"][split]["auc"] == pytest.approx(own_result["metrics"][split]["auc"], abs=5e-4)
    assert command("evaluate", "run=run", "hydra.run.dir=again").code == cli.DONE
    again = json.loads(Path("again/evaluation.json").read_text())
    assert again["metrics"]["auc"] == pytest.approx(ours["metrics"]["test"]["auc"], abs=1e-3)

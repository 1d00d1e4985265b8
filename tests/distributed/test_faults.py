"""One process or all of a run over tables in shards are killed at random; other numbers of processes go on from it.

The processes are forked from a server that has TorchRec imported, and told by torchrun's variables of each other.
"""

import json
import random
import signal
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from mlet_bench import load_model
from tests.distributed.launcher import TIMID, Forked, relative
from tests.processes import SEED, Running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.skipif(find_spec("torchrec") is None, reason="TorchRec is not installed (make setup-torchrec)"),
]
KILLS, SIZES, STEPS = 10, (2, 3, 1), 10
ALONE = ["train", "dataset.rows=3000", "train.batch_size=250", "hardware.threads=1", "emb=mlet", "emb.inner=16",
         "emb.dim=8", "model.bottom_mlp=[8]", "model.top_mlp=[8]", *TIMID, "train.optimizer=rowwise_adagrad",
         "train.eval_every=null", "train.checkpoint_minutes=0.00001", "hydra.run.dir=run"]  # fmt: skip
WORDS = [*ALONE, "hardware=torchrec"]
"""Ten steps, a state after each of them, and one evaluation, so that the last step's weights are compared."""


def assert_nothing_half_done(run: Path, size: int) -> None:
    """What a finished run of so many processes leaves, and nothing else."""
    parts = {f"model-{rank:05d}-of-{size:05d}.safetensors" for rank in range(1, size + 1)}
    expected = {"DONE", "config.yaml", "metrics.jsonl", "model.safetensors.index.json", "predictions.parquet",
                "result.json", "train.log"}  # fmt: skip
    assert {path.name for path in run.iterdir()} == expected | parts
    assert not [path for path in run.parent.rglob("*") if path.name.endswith((".tmp", ".lock"))]


def place_in(room: Path) -> Path:
    place = room / f"place-{time.monotonic_ns()}"
    place.mkdir()
    return place


def result_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "result.json").read_text())
    return found


def test_killed_at_random_and_gone_on_from(room: Path, tally: Callable[..., None]) -> None:
    alone = place_in(room)
    assert Running(ALONE, alone).ended().code == 0
    undisturbed = place_in(room)
    assert {rank.code for rank in Forked(2, WORDS, undisturbed).ended()} == {0}
    expected, weights = result_of(alone / "run"), load_model(alone / "run").state_dict()

    def assert_as_one_process(run: Path, size: int) -> None:
        assert_nothing_half_done(run, size)
        found = result_of(run)
        for split in ("valid", "test"):
            assert found["metrics"][split]["auc"] == pytest.approx(expected["metrics"][split]["auc"], abs=5e-4)
        apart = {name: relative(weights[name], value) for name, value in load_model(run).state_dict().items()}
        assert max(apart.values()) < 1e-5, apart

    assert_as_one_process(undisturbed / "run", 2)
    rng, place, killed, finished = random.Random(f"{SEED} ranks"), place_in(room), 0, 0
    while killed < KILLS:
        size = rng.choice(SIZES)
        job = Forked(size, WORDS, place)
        wait_for_step(place, rng.randint(0, STEPS), job)
        time.sleep(rng.random() / 2)
        chosen = job.ranks if rng.random() < 0.4 else [rng.choice(job.ranks)]
        states = len(list(place.glob("run/checkpoint/state-*.json")))
        for rank in chosen:
            rank.kill()
        began = time.monotonic()
        asked, ends = job.ended_by_launcher(), job.ended()
        if all(end.code == 0 for end in ends):  # it was faster
            assert_as_one_process(place / "run", _parts(place / "run"))
            place = place_in(room)
            continue
        killed += 1
        others = [end for end in ends if end.code != -signal.SIGKILL]
        codes = {0, 1, 128 + signal.SIGTERM} if (place / "run/DONE").exists() else {1, 128 + signal.SIGTERM}
        assert {end.code for end in others} <= codes, ends
        said = [_said(end.err) for end in ends]
        assert max(said) <= 1, ends
        first_is_there = job.ranks[0] not in chosen  # it holds what the others agree by on who speaks
        assert not first_is_there or sum(said) <= 1, ends
        tally(f"kills of {'all' if len(chosen) == size else 'one'} of {size} processes, {states} states on disk")
        tally("processes that the launcher had to end", asked)
        tally("seconds in all until the other processes had ended", round(time.monotonic() - began))
        if killed % 2 == 0:  # every second time they may end
            size = SIZES[finished % len(SIZES)]
            assert {end.code for end in Forked(size, WORDS, place).ended()} == {0}
            assert_as_one_process(place / "run", _parts(place / "run"))
            tally(f"results after kills, ended by {size} processes, equal to one process's")
            finished, place = finished + 1, place_in(room)


def wait_for_step(place: Path, step: int, job: Forked) -> None:
    """Until a state of this step or a later one is there, or the job has ended; at once for step 0."""
    while step and all(rank.alive() for rank in job.ranks):
        if any(int(path.stem[6:]) >= step for path in place.glob("run/checkpoint/state-*.json")):
            return
        time.sleep(0.01)


def _said(err: str) -> int:
    """Lines of ours; PyTorch's C++ code warns too that the first process's store is gone."""
    assert "Traceback" not in err, err
    return sum(line.startswith("mlet-bench: ") for line in err.splitlines())


def _parts(run: Path) -> int:
    """Files of the model: as many as the processes that finished the run."""
    return len(list(run.glob("model-*-of-*.safetensors")))

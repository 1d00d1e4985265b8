"""Which process of which launch this is, told by the variables of torchrun and of srun."""

import pytest

from mlet_bench.system.launch import Launch, launched

MASTER = {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
SRUN = {"SLURM_PROCID": "9", "SLURM_NTASKS": "11", "SLURM_STEP_NUM_TASKS": "11", "SLURM_LOCALID": "1",
        "SLURM_NODEID": "2", "SLURM_STEP_TASKS_PER_NODE": "4(x2),3"}  # fmt: skip
BATCH_SCRIPT = {"SLURM_PROCID": "0", "SLURM_NTASKS": "11", "SLURM_TASKS_PER_NODE": "4(x2),3"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Launch()),
        (MASTER, Launch()),
        (TORCHRUN | MASTER, Launch(3, 4, 1, 2)),
        (TORCHRUN, Launch()),
        (SRUN | MASTER, Launch(9, 11, 1, 3)),
        (SRUN, Launch()),
        (BATCH_SCRIPT | MASTER, Launch()),
        (SRUN | TORCHRUN | MASTER, Launch(3, 4, 1, 2)),
        (TORCHRUN | MASTER | {"WORLD_SIZE": "1", "RANK": "0"}, Launch()),
    ],
)
def test_launched(variables: dict[str, str], expected: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {**MASTER, **TORCHRUN, **SRUN, **BATCH_SCRIPT}:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launched() == expected

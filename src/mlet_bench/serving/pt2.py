"""torch.export's own file: runs in PyTorch without this package."""

from pathlib import Path

import torch
from torch import Tensor

from mlet_bench.serving.format import Format, Program, Runner

FILE = "model.pt2"


class PT2(Format):
    def write(self, folder: Path, program: Program) -> dict[str, object]:
        torch.export.save(program.exported(), folder / FILE)
        return {"torch": torch.__version__}

    def read(self, folder: Path, program: Program) -> Runner:
        loaded = torch.export.load(folder / FILE).module()

        def run(ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
            logit_B: Tensor = loaded(*program.inputs(ids_BF, numeric_BN))[0]
            return logit_B

        return run

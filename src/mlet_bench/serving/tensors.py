"""Tables and network as safetensors, for programs that build the model themselves."""

import copy
from pathlib import Path

from safetensors.torch import load_file, save_file

from mlet_bench.serving.format import Format, Program, Runner

FILE = "model.safetensors"


class Tensors(Format):
    def write(self, folder: Path, program: Program) -> dict[str, object]:
        state = {name: value.contiguous() for name, value in program.model.state_dict().items()}
        save_file(state, folder / FILE)
        return {"tensors": {name: {"dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape)}
                            for name, value in state.items()}}  # fmt: skip

    def read(self, folder: Path, program: Program) -> Runner:
        """Through an empty model of the same kind, filled with what the file holds."""
        empty = copy.deepcopy(program)
        for value in empty.model.state_dict().values():
            value.zero_()
        empty.model.load_state_dict(load_file(folder / FILE), strict=True)
        return empty.runner()

"""ONNX, for onnxruntime and everything else that reads it."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from mlet_bench.serving.format import Format, Program, Runner

FILE = "model.onnx"
OPSET = 20
LARGEST = 2**31 - 2**24
"""Bytes of one file, a limit of protobuf; the weights of larger models lie in a file beside it."""


class ONNX(Format):
    def missing_package(self) -> str | None:
        try:
            import onnx
            import onnxruntime  # type: ignore[import-untyped]
            import onnxscript
        except ModuleNotFoundError as error:
            return error.name
        del onnx, onnxruntime, onnxscript
        return None

    def write(self, folder: Path, program: Program) -> dict[str, object]:
        weights = sum(value.nbytes for value in program.state_dict().values())
        exported = program.exported()
        with _silence():
            made = torch.onnx.export(
                exported, dynamo=True, opset_version=OPSET, input_names=program.input_names,
                output_names=["logit", "probability"], verbose=False,
            )  # fmt: skip
            assert made is not None
            made.save(folder / FILE, external_data=weights > LARGEST)
        return {"opset": OPSET}

    def read(self, folder: Path, program: Program) -> Runner:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(folder / FILE), options, providers=["CPUExecutionProvider"])
        names = program.input_names

        def run(ids_BF: Tensor, numeric_BN: Tensor) -> Tensor:
            given = [value.numpy() for value in program.inputs(ids_BF, numeric_BN)]
            return torch.from_numpy(session.run(["logit"], dict(zip(names, given, strict=True)))[0])

        return run


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The exporter tells of packages that it does not find and of what it does not simplify; faults it raises."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

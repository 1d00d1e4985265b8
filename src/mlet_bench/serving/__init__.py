"""A finished run's collapsed model for use elsewhere: its graph or weights, the encoding of raw rows, a model card."""

from collections.abc import Mapping

from mlet_bench.serving.format import Format
from mlet_bench.serving.onnx import ONNX
from mlet_bench.serving.pt2 import PT2
from mlet_bench.serving.tensors import Tensors

__all__ = ["FORMATS", "Format"]

FORMATS: Mapping[str, Format] = {"pt2": PT2(), "onnx": ONNX(), "safetensors": Tensors()}

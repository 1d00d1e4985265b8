"""The names of the files that a collapsed model is stored in, for those who read no weights."""

import re
from collections.abc import Iterable

MODEL, INDEX = "model.safetensors", "model.safetensors.index.json"
PART = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")


def model_files(names: Iterable[str]) -> list[str]:
    """Those among `names` that a model is stored in."""
    return sorted(name for name in names if name in (MODEL, INDEX) or PART.fullmatch(name))

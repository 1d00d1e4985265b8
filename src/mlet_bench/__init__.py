"""Train, collapse and evaluate multi-layer embeddings (MLET, arXiv 2309.15881) for click-through-rate models.

The library: `MLETEmbedding`, `SingleEmbedding`, `HashedFields`, `collapse`, `factorize`, `load_model`. They bring
PyTorch along, so they are imported when they are asked for: the command line answers `--help` without it.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlet_bench.library import HashedFields, MLETEmbedding, SingleEmbedding, collapse, factorize, load_model

__all__ = ["HashedFields", "MLETEmbedding", "SingleEmbedding", "__version__", "collapse", "factorize", "load_model"]
__version__ = "0.1.0"

# Before pyarrow is imported: its allocator should keep freed memory for ten seconds (in ms), for the next chunk.
# By default it soon gives pages back, and taking fresh ones cost half as much time as parsing (docs/LOG.md).
os.environ.setdefault("MIMALLOC_PURGE_DELAY", "10000")


def __getattr__(name: str) -> Any:
    if name in __all__:
        from mlet_bench import library

        return getattr(library, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Train, collapse and evaluate_split multi-layer embeddings (MLET, arXiv 2309.15881) for click-through-rate models."""

import os

__version__ = "0.1.0"

# Before pyarrow is imported: its allocator should keep freed memory for ten seconds (in ms), for the next chunk.
# By default it soon gives pages back, and taking fresh ones cost half as much time as parsing (docs/LOG.md).
os.environ.setdefault("MIMALLOC_PURGE_DELAY", "10000")

"""Train, collapse and judge multi-layer embeddings (MLET, arXiv 2309.15881) for click-through-rate models."""

__version__ = "0.1.0"

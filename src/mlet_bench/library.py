"""What programs use without the command line; `mlet_bench` hands it on when it is asked for."""

from mlet_bench.embedding import HashedFields, MLETEmbedding, SingleEmbedding
from mlet_bench.embedding.collapse import collapse
from mlet_bench.embedding.factorize import factorize
from mlet_bench.runs.load import load_model

__all__ = ["HashedFields", "MLETEmbedding", "SingleEmbedding", "collapse", "factorize", "load_model"]

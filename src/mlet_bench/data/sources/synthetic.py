"""Generated rows of Criteo's or Avazu's shape whose truth is known.

Numeric columns of counts, categorical ones with power-law popularity (shapes.py). Every category has a planted vector
of length about one; a row's true logit is

    bias + scale · (main effects + interactions + numeric)

with main effects sum_f <u_f, v_f>, interactions sum_{f<g} <v_f, v_g> of the interacting fields, and a linear
function of ln(x+1). SHARES says how much of the variance each of the three parts has.
`structure` says how the vectors lie:

shared       those of a field near a `rank`-dimensional subspace of its own: what frequent categories teach
             about the subspace helps the rare ones
independent  isotropic in all `vector_dim` dimensions: nothing to share

Scale and bias are solved for the wanted AUC of the truth and a click rate of CLICK_RATE, so that both
structures are equally hard at best.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from mlet_bench.config import SyntheticConfig
from mlet_bench.data.sources import shapes
from mlet_bench.data.sources.bad_rows import Reading
from mlet_bench.data.sources.raw import LABEL, TRUTH, RawSource
from mlet_bench.data.splits import InOrder
from mlet_bench.errors import UserError

VERSION = 1  # of the generator: raised when the same options give other rows
SHARES = (0.75, 0.15, 0.10)  # of main effects, interactions and numeric columns
CLICK_RATE = 0.25
NUMERIC_MISSING = 0.1
OFF_SUBSPACE = 0.1  # length of the part of a shared vector that leaves its subspace
CHUNK_ROWS = 100_000
ROW_BYTES = 240
"""Of a generated row as text, about as many as of Criteo's."""
CALIBRATION_ROWS = 100_000
CODES = 2**20
"""Names that a field's categories can have."""
MOST_AVAZU_ROWS = 6_000_000


class SyntheticSource(RawSource):
    """Rows drawn from the data set's own seed; the same options give the same rows."""

    def __init__(self, config: SyntheticConfig) -> None:
        if config.structure == "shared" and config.rank > config.vector_dim:
            raise UserError(f"dataset.rank={config.rank}: at most dataset.vector_dim={config.vector_dim}")
        if config.shape == "avazu" and config.rows > MOST_AVAZU_ROWS:
            raise UserError(f"dataset.rows={config.rows}: at most {MOST_AVAZU_ROWS} with dataset.shape=avazu")
        self.config = config
        self.shape = _shape_of(config)
        self.numeric, self.categorical = self.shape.numeric, self.shape.categorical
        self.files = ()
        self.generated_bytes = ROW_BYTES * config.rows
        self.split = InOrder((10 / 12, 1 / 12, 1 / 12))

    def check(self) -> None:
        if self.config.raw is not None:
            raise UserError(
                f"dataset.raw={self.config.raw}: dataset=synthetic is generated and reads no files; say "
                "what the file is, for example dataset=criteo or dataset=table"
            )

    def options(self) -> dict[str, Any]:
        names = ("seed", "rows", "structure", "rank", "vector_dim", "best_auc")
        chosen = {name: getattr(self.config, name) for name in names}
        if self.config.structure == "independent":
            chosen["rank"] = self.config.vector_dim
        shape = {} if self.config.shape == "criteo" else {"shape": self.config.shape}
        return {"generator": VERSION, **chosen, **shape}

    def tables(self, reading: Reading) -> Iterator[pa.Table]:
        world = _World(self.config, self.shape)
        for chunk, start in enumerate(range(0, self.config.rows, CHUNK_ROWS)):
            rows = min(CHUNK_ROWS, self.config.rows - start)
            yield world.table(np.random.default_rng([self.config.seed, 2, chunk]), rows)
            reading.passed(rows, start + rows)


def _shape_of(config: SyntheticConfig) -> shapes.Shape:
    return shapes.criteo() if config.shape == "criteo" else shapes.avazu(config.rows)


class _World:
    """The planted vectors and what follows from them."""

    def __init__(self, config: SyntheticConfig, shape: shapes.Shape) -> None:
        self.shape = shape
        rng = np.random.default_rng([config.seed, 0])
        self.dim = dim = config.vector_dim
        self.cdfs, self.names, self.vectors, self.directions = [], [], [], []
        for field, (column, cardinality) in enumerate(shape.cardinalities.items()):
            popularity = np.cumsum(shape.popularity(column))
            self.cdfs.append(popularity / popularity[-1])
            names = [f"{code:08x}" for code in rng.permutation(CODES)[:cardinality] * 4096 + field]
            if field % 3 == 2:
                names[1] = ""  # a missing cell is a category like another
            self.names.append(pa.array(names, pa.string()))
            basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
            if config.structure == "shared":
                inside = rng.standard_normal((cardinality, config.rank)) / np.sqrt(config.rank)
                vectors = inside @ basis[: config.rank]
                vectors += OFF_SUBSPACE * rng.standard_normal((cardinality, dim)) / np.sqrt(dim)
            else:
                vectors = rng.standard_normal((cardinality, dim)) / np.sqrt(dim)
            self.vectors.append(vectors)
            self.directions.append(basis[0])
        self.slopes = rng.standard_normal(len(shape.numeric))
        sample = np.random.default_rng([config.seed, 1])
        parts = self._parts(*self._draw(sample, CALIBRATION_ROWS))
        self.means = [part.mean() for part in parts]
        self.stds = [part.std() for part in parts]
        self.scale, self.bias = 1.0, 0.0
        self.scale, self.bias = calibrate(self._logit(parts), config.best_auc, CLICK_RATE)

    def table(self, rng: np.random.Generator, rows: int) -> pa.Table:
        ids_BF, count_BN, missing_BN = self._draw(rng, rows)
        logit_B = self._logit(self._parts(ids_BF, count_BN, missing_BN))
        label_B = rng.random(rows) < 1 / (1 + np.exp(-logit_B))
        columns: dict[str, Any] = {LABEL: pa.array(label_B.astype(np.int8))}
        for i, name in enumerate(self.shape.numeric):
            columns[name] = pa.array(count_BN[:, i], mask=missing_BN[:, i])
        for i, name in enumerate(self.shape.categorical):
            columns[name] = pa.DictionaryArray.from_arrays(pa.array(ids_BF[:, i]), self.names[i])
        columns[TRUTH] = pa.array(logit_B)
        return pa.table(columns)

    def _draw(self, rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ids = [np.searchsorted(cdf, rng.random(rows)) for cdf in self.cdfs]
        numeric = len(self.shape.numeric)
        count_BN = np.floor(rng.lognormal(1.5, 1.2, (rows, numeric))).astype(np.int64)
        missing_BN = rng.random((rows, numeric)) < NUMERIC_MISSING
        return np.stack(ids, 1).astype(np.int32), count_BN, missing_BN

    def _parts(self, ids_BF: np.ndarray, count_BN: np.ndarray, missing_BN: np.ndarray) -> list[np.ndarray]:
        main_B = np.zeros(len(ids_BF))
        sum_BD, squares_B = np.zeros((len(ids_BF), self.dim)), np.zeros(len(ids_BF))
        for field, (vectors, direction) in enumerate(zip(self.vectors, self.directions, strict=True)):
            v_BD = vectors[ids_BF[:, field]]
            main_B += v_BD @ direction
            if self.shape.categorical[field] in self.shape.interacting:
                sum_BD += v_BD
                squares_B += (v_BD**2).sum(1)
        interaction_B = ((sum_BD**2).sum(1) - squares_B) / 2  # of all pairs (Rendle 2010, FM)
        numeric_B = np.where(missing_BN, 0, np.log1p(count_BN)) @ self.slopes
        return [main_B, interaction_B, numeric_B]

    def _logit(self, parts: list[np.ndarray]) -> np.ndarray:
        standard = [
            np.sqrt(share) * (part - mean) / std
            for share, part, mean, std in zip(SHARES, parts, self.means, self.stds, strict=True)
        ]
        return np.asarray(self.bias + self.scale * np.sum(standard, axis=0))


def calibrate(score_B: np.ndarray, auc: float, rate: float) -> tuple[float, float]:
    """Scale and bias with which sigmoid(bias + scale · score) has the expected AUC and mean rate wanted."""
    ordered = np.sort(score_B)

    def bias_for(scale: float) -> float:
        return _bisect(lambda bias: float(_sigmoid(bias + scale * ordered).mean()) - rate, -60.0, 60.0)

    def excess(scale: float) -> float:
        return expected_auc(_sigmoid(bias_for(scale) + scale * ordered)) - auc

    scale = _bisect(excess, 0.0, 40.0)
    return scale, bias_for(scale)


def expected_auc(rising_p: np.ndarray) -> float:
    """Expected AUC of the true probabilities `rising_p` (sorted, no ties) as scores of labels drawn from them."""
    negatives_below = np.cumsum(1 - rising_p) - (1 - rising_p)
    pairs = rising_p.sum() * (1 - rising_p).sum() - (rising_p * (1 - rising_p)).sum()
    return float((rising_p * negatives_below).sum() / pairs)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def _bisect(function: Any, low: float, high: float) -> float:
    """Where a rising function is zero."""
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return (low + high) / 2

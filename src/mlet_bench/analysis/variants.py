"""Embedding variants, what a reader of a report compares: here alone they are named, ordered and given their roles."""

from collections.abc import Container, Iterable
from typing import NamedTuple

from mlet_bench.config.emb import EMBEDDINGS, SingleEmbConfig, mode_of
from mlet_bench.runs.result import Emb

BASELINE = mode_of(SingleEmbConfig)
SVD = "svd"
"""A standard embedding whose rank was truncated after training; no mode that anything is trained with."""


def short_names(variants: Iterable["EmbeddingVariant"]) -> dict["EmbeddingVariant", "EmbeddingVariant"]:
    """Variants of a comparison without those of their mode's own keys that all of the mode have alike.

    >>> a, b = (EmbeddingVariant("qr 0.1", 16, None, own=f"compose={how} min_rows=200") for how in ("sum", "product"))
    >>> [variant.own for variant in short_names([a, b]).values()], short_names([a])[a].own
    (['compose=product', 'compose=sum'], '')
    """
    kinds: dict[str, list[set[str]]] = {}
    variants = set(variants)
    for variant in variants:
        kinds.setdefault(variant.kind, []).append(set(variant.own.split()))
    names = {}
    for variant in sorted(variants, key=lambda variant: variant.order):
        alike = set.intersection(*kinds[variant.kind])
        names[variant] = variant._replace(own=" ".join(word for word in variant.own.split() if word not in alike))
    return names


class EmbeddingVariant(NamedTuple):
    """An embedding mode, of whatever name a result states, with its widths d and k."""

    mode: str
    dim: int
    inner: int | None
    bits: int | None = None
    """Of a number of the tables, where they are integers: quantised after training, or trained so."""
    own: str = ""
    """What else sets it apart from others of a comparison, as it was given."""

    @classmethod
    def of(cls, emb: Emb) -> "EmbeddingVariant":
        mode = emb.mode if emb.ratio is None else f"{emb.mode} {emb.ratio:g}"
        return cls(mode, emb.dim, None if emb.mode == BASELINE else emb.inner, emb.bits, emb.own)

    @classmethod
    def baseline(cls, dim: int) -> "EmbeddingVariant":
        return cls(BASELINE, dim, None)

    @property
    def kind(self) -> str:
        """The mode, whatever its ratio."""
        return self.mode.split()[0]

    @property
    def label(self) -> str:
        return f"{self.curve}, d = {self.dim}"

    @property
    def own_but_bits(self) -> str:
        """`own` where the bits are named beside it."""
        return " ".join(word for word in self.own.split() if not word.startswith("bits="))

    @property
    def name(self) -> str:
        """Beside d and k."""
        return f"{self.mode}, {self.own}" if self.own else self.mode

    @property
    def curve(self) -> str:
        """Its name where d is an axis."""
        name = self.mode if self.inner is None else f"{self.mode} k = {self.inner}"
        name = f"{name}, {self.own_but_bits}" if self.own_but_bits else name
        return name if self.bits is None else f"{name}, {self.bits} bits"

    @property
    def order(self) -> tuple[bool, str, int, int, int, str]:
        return not self.is_baseline, self.mode, self.dim, self.inner or 0, -(self.bits or 32), self.own

    @property
    def is_trained(self) -> bool:
        """As it is; not made of a trained one afterwards.

        >>> [EmbeddingVariant(mode, 16, None, bits=8).is_trained for mode in ("lpt 0.5", "hash 0.5", "single")]
        [True, False, False]
        """
        return self.mode != SVD and (self.bits is None or "bits" in self._keys)

    @property
    def is_baseline(self) -> bool:
        """Gains are measured over it."""
        return self.mode == BASELINE and self.bits is None

    @property
    def is_method(self) -> bool:
        """The paper's claims are about it."""
        return self._role == "method" and self.bits is None

    @property
    def is_control(self) -> bool:
        """It explains a gain and is no offer itself: figures and size ratios leave it out."""
        return self._role == "control"

    @property
    def _keys(self) -> Container[str]:
        """Of the mode's section."""
        return EMBEDDINGS[self.kind].model_fields if self.kind in EMBEDDINGS else ()

    @property
    def _role(self) -> str:
        section = EMBEDDINGS.get(self.kind)
        return "control" if self.mode == SVD else "rival" if section is None else section.role

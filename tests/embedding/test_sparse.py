"""Sparse tables: what is kept stands where it stood, in the bytes of the smaller of two forms."""

import pytest
import torch

from mlet_bench.embedding.sparse import ListedPlaces, MarkedPlaces, SparseEmbedding, most_kept

CARDINALITIES = (70, 3, 90)


@pytest.mark.parametrize(("share", "dim", "kind"), [(0.5, 16, MarkedPlaces), (0.9, 5, MarkedPlaces),
                                                    (1.0, 300, MarkedPlaces), (0.02, 16, ListedPlaces),
                                                    (0.002, 5, ListedPlaces)])  # fmt: skip
def test_vectors_are_those_of_the_table_with_zeros_elsewhere(share: float, dim: int, kind: type) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(163, dim, generator=generator)
    kept = torch.rand(163, dim, generator=generator) <= share
    sparse = SparseEmbedding.of_table(CARDINALITIES, weight, kept)
    assert isinstance(sparse.places, kind)
    ids = torch.stack([torch.arange(90) % count for count in CARDINALITIES], 1)
    assert torch.equal(sparse(ids), (weight * kept)[ids + torch.tensor([0, 70, 73])])


@pytest.mark.parametrize("rows", [1, 163, 1_000_000, 40_000_000])
@pytest.mark.parametrize("dim", [3, 16, 64])
@pytest.mark.parametrize("ratio", [0.5, 0.1, 0.01])
def test_there_is_room_for_as_many_as_are_said_and_for_no_more(rows: int, dim: int, ratio: float) -> None:
    numbers = int(ratio * rows * dim)
    kept = most_kept(rows, dim, numbers)
    with torch.device("meta"):
        fits, too_many = SparseEmbedding([rows], dim, kept), SparseEmbedding([rows], dim, kept + 1)
    assert fits.bytes <= 4 * numbers < too_many.bytes

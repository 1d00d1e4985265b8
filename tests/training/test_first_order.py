"""First-order tables and numeric vectors beside the embedding, and clipping, against PyTorch's dense optimizers."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mlet_bench.embedding import MLETEmbedding, SingleEmbedding
from mlet_bench.models.fm import FM, FMSettings
from mlet_bench.training.optimizers import Optimizers
from tests.training.test_optimizers import CARDINALITIES, batches, emb_config, train_config

NUMERIC = 2


def fm(mode: str) -> FM:
    """In float64, as Adam makes much of a rounding where a gradient is nearly zero."""
    torch.manual_seed(3)
    if mode == "single":
        return FM(SingleEmbedding.from_weights(CARDINALITIES, torch.randn(34, 3)), NUMERIC, FMSettings()).double()
    embedding = MLETEmbedding.from_weights(CARDINALITIES, torch.randn(34, 5), torch.randn(2, 5, 3))
    return FM(embedding, NUMERIC, FMSettings()).double()


class Slow(nn.Module):
    """The same model with nn.Embedding and loops over pairs."""

    def __init__(self, model: FM, sparse: bool = False) -> None:
        super().__init__()
        emb = model.embedding
        table_VW = emb.w1.weight if isinstance(emb, MLETEmbedding) else emb.table.weight
        self.table = nn.Embedding.from_pretrained(table_VW.clone(), freeze=False, sparse=sparse)
        self.w2_FKD = nn.Parameter(emb.w2_FKD.detach().clone()) if isinstance(emb, MLETEmbedding) else None
        self.first = nn.Embedding.from_pretrained(
            model.linear.fields.table.weight.detach().clone(), freeze=False, sparse=sparse
        )
        self.numeric_ND = nn.Parameter(model.numeric.weight_ND.detach().clone())
        self.first_N1 = nn.Parameter(model.linear.numeric.weight_ND.detach().clone())
        self.bias = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, ids_BF: torch.Tensor, numeric_BN: torch.Tensor) -> torch.Tensor:
        rows_BF = ids_BF + torch.tensor([0, CARDINALITIES[0]])
        emb_BFD = self.table(rows_BF)
        if self.w2_FKD is not None:
            emb_BFD = torch.einsum("bfk,fkd->bfd", emb_BFD, self.w2_FKD)
        vectors = [numeric_BN[:, [j]] * self.numeric_ND[j] for j in range(NUMERIC)] + list(emb_BFD.unbind(1))
        logit_B = self.bias + self.first(rows_BF).sum((1, 2)) + (numeric_BN @ self.first_N1)[:, 0]
        return logit_B + sum((vectors[i] * vectors[j]).sum(1) for i in range(4) for j in range(i))

    def compare(self, model: FM, atol: float = 1e-7) -> None:
        emb = model.embedding
        table_VW = emb.w1.weight if isinstance(emb, MLETEmbedding) else emb.table.weight
        for found, expected in (
            (table_VW, self.table.weight),
            (model.linear.fields.table.weight, self.first.weight),
            (model.numeric.weight_ND, self.numeric_ND),
            (model.linear.numeric.weight_ND, self.first_N1),
            (model.linear.bias, self.bias),
        ):
            torch.testing.assert_close(found.data, expected.data, rtol=1e-7, atol=atol)


def losses(model: nn.Module) -> Any:
    generator = torch.Generator().manual_seed(6)
    for ids_BF, label_B in batches():
        numeric_BN = torch.randn(len(ids_BF), NUMERIC, generator=generator, dtype=torch.float64)
        yield F.binary_cross_entropy_with_logits(model(ids_BF, numeric_BN), label_B.double())


def run_fast(model: FM, optimizers: Optimizers) -> None:
    for loss in losses(model):
        penalty = optimizers.batch_penalty()
        (loss if penalty is None else loss + penalty).backward()
        optimizers.step()
        optimizers.clear()


@pytest.mark.parametrize("mode", ["single", "mlet"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("l2", [0.0, 0.05])
@pytest.mark.parametrize("clip_norm", [None, 0.3])
def test_exact_updates_follow_the_dense_optimiser(
    mode: str, optimizer: str, l2: float, clip_norm: float | None
) -> None:
    model = fm(mode)
    slow = Slow(model)
    dense = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[optimizer](slow.parameters(), lr=0.01)
    clipped = 0
    for loss in losses(slow):
        regularised = [p for name, p in slow.named_parameters() if name != "bias"]
        dense.zero_grad()
        (loss + l2 / 2 * sum(p.square().sum() for p in regularised)).backward()
        if clip_norm is not None:
            clipped += int(nn.utils.clip_grad_norm_(slow.parameters(), clip_norm) > clip_norm)
        dense.step()
    assert clip_norm is None or clipped > 0
    config = train_config(optimizer=optimizer, clip_norm=clip_norm)
    run_fast(model, Optimizers(model, config, emb_config(mode, l2=l2, l2_on="factors", l2_rows="table")))
    slow.compare(model)


@pytest.mark.parametrize("clip_norm", [None, 0.3])
def test_lazy_adam_is_sparse_adam(clip_norm: float | None) -> None:
    model = fm("single")
    slow = Slow(model, sparse=True)
    tables = [slow.table.weight, slow.first.weight]
    others = [slow.numeric_ND, slow.first_N1, slow.bias]
    sparse, dense = torch.optim.SparseAdam(tables, lr=0.01), torch.optim.Adam(others, lr=0.01)
    for loss in losses(slow):
        sparse.zero_grad()
        dense.zero_grad()
        loss.backward()
        if clip_norm is not None:
            for table in tables:
                table.grad = table.grad.coalesce()
            norm = sum(p.grad.square().sum() for p in others) + sum(p.grad.values().square().sum() for p in tables)
            for p in [*tables, *others]:
                p.grad.mul_(min(1.0, clip_norm / (float(norm) ** 0.5 + 1e-6)))
        sparse.step()
        dense.step()
    config = train_config(update="lazy", clip_norm=clip_norm)
    run_fast(model, Optimizers(model, config, emb_config("single")))
    slow.compare(model, atol=3e-4)  # SparseAdam adds its epsilon before the bias correction, Adam after


@pytest.mark.parametrize("mode", ["single", "mlet"])
def test_batch_l2_holds_for_all_that_was_looked_up(mode: str) -> None:
    model = fm(mode)
    nn.init.normal_(model.linear.fields.table.weight)
    optimizers = Optimizers(model, train_config(), emb_config(mode, l2=0.5, l2_on="product"))
    model(torch.tensor([[1, 2], [1, 3]]), torch.ones(2, NUMERIC, dtype=torch.float64))
    with torch.no_grad():
        vectors_D = [model.embedding(torch.tensor([[1, i]]))[0, f] for f, i in ((0, 2), (1, 2), (1, 3))]
    first_V = model.linear.fields.table.weight[[1, 32, 33]]
    numeric = [model.numeric.weight_ND, model.linear.numeric.weight_ND]
    expected = sum(part.square().sum() for part in [*vectors_D, first_V, *numeric])
    model(torch.tensor([[1, 2], [1, 3]]), torch.ones(2, NUMERIC, dtype=torch.float64))
    torch.testing.assert_close(optimizers.batch_penalty(), 0.25 * expected)


def test_embedding_learning_rate_moves_all_tables_alone() -> None:
    models = [fm("single"), fm("single")]
    for model, lr in zip(models, (0.5, 1.0), strict=True):
        optimizers = Optimizers(model, train_config(optimizer="sgd", lr=0.1), emb_config("single", lr=lr))
        model(torch.tensor([[1, 2]]), torch.ones(1, NUMERIC, dtype=torch.float64)).sum().backward()
        optimizers.step()
        optimizers.clear()
    slow, fast = models
    assert slow.linear.fields.table.weight[1].item() == pytest.approx(-0.5)
    assert fast.linear.fields.table.weight[1].item() == pytest.approx(-1.0)
    for name in ("linear.bias", "linear.numeric.weight_ND", "numeric.weight_ND"):
        assert torch.equal(slow.get_parameter(name), fast.get_parameter(name))


def test_state_round_trip_holds_every_table() -> None:
    first, second = fm("mlet"), fm("mlet")
    trained = Optimizers(first, train_config(), emb_config("mlet"))
    run_fast(first, trained)
    other = Optimizers(second, train_config(), emb_config("mlet"))
    second.load_state_dict(first.state_dict())
    other.load_state({name: value.clone() for name, value in trained.state().items()})
    for model, optimizers in ((first, trained), (second, other)):
        run_fast(model, optimizers)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])

"""The library as a program uses it: torch and mlet_bench alone, PyTorch's habits."""

import copy
import json
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import mlet_bench
from mlet_bench import MLETEmbedding, SingleEmbedding, collapse, load_model
from mlet_bench.errors import UserError
from tests.conftest import TINY

CARDINALITIES = [1000, 50]


class Net(nn.Module):
    def __init__(self, mode: str = "mlet") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = (
            MLETEmbedding(CARDINALITIES, dim=8, inner=16) if mode == "mlet" else SingleEmbedding(CARDINALITIES, dim=8)
        )
        self.out = nn.Linear(16, 1)

    def forward(self, ids_BF: Tensor) -> Tensor:
        logit_B: Tensor = self.out(self.embedding(ids_BF).flatten(1)).squeeze(1)
        return logit_B


def ids(rows: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.stack([torch.randint(n, (rows,), generator=generator) for n in CARDINALITIES], 1)


def loss(net: nn.Module, ids_BF: Tensor) -> Tensor:
    label_B = (ids_BF.sum(1) % 2).float()
    return nn.functional.binary_cross_entropy_with_logits(net(ids_BF).float(), label_B)


def test_the_interface_is_listed_and_typed() -> None:
    assert {"MLETEmbedding", "SingleEmbedding", "collapse", "factorize", "load_model"} <= set(mlet_bench.__all__)
    assert set(mlet_bench.__all__) <= set(dir(mlet_bench))
    assert (Path(mlet_bench.__file__).parent / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'colapse'"):
        _ = mlet_bench.colapse


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD, torch.optim.Adagrad, torch.optim.AdamW])
@pytest.mark.parametrize("mode", ["single", "mlet"])
def test_any_optimizer_of_pytorch_trains_it(mode: str, optimizer: type[torch.optim.Optimizer]) -> None:
    net = Net(mode)
    start = copy.deepcopy(net.state_dict())
    moving = optimizer(net.parameters(), lr=0.05)
    losses = []
    for _ in range(20):
        moving.zero_grad()
        total = loss(net, ids())
        total.backward()
        moving.step()
        losses.append(total.item())
    assert losses[-1] < losses[0]
    for name, weight in net.named_parameters():
        assert not torch.equal(weight, start[name]), name


def test_mlet_is_an_embedding_and_a_linear_layer_in_float64() -> None:
    torch.manual_seed(0)
    emb = MLETEmbedding(CARDINALITIES, dim=8, inner=16).double()
    slow = [(nn.Embedding(n, 16).double(), nn.Linear(16, 8, bias=False).double()) for n in CARDINALITIES]
    for field, ((table, linear), rows) in enumerate(
        zip(slow, emb.w1.weight.detach().split(CARDINALITIES), strict=True)
    ):
        table.weight.data, linear.weight.data = rows.clone(), emb.w2_FKD[field].detach().t().clone()

    def slow_vectors(ids_BF: Tensor) -> Tensor:
        return torch.stack([linear(table(ids_BF[:, f])) for f, (table, linear) in enumerate(slow)], 1)

    fast = torch.optim.Adam(emb.parameters(), lr=0.01)
    theirs = torch.optim.Adam([p for pair in slow for part in pair for p in part.parameters()], lr=0.01)
    for _ in range(50):
        for vectors, moving in ((emb, fast), (slow_vectors, theirs)):
            moving.zero_grad()
            vectors(ids()).sin().sum().backward()
            moving.step()
    torch.testing.assert_close(emb(ids()), slow_vectors(ids()), rtol=0, atol=1e-10)
    torch.testing.assert_close(collapse(emb)(ids()), emb(ids()), rtol=0, atol=1e-6)


def test_gradients_accumulate_over_passes() -> None:
    whole, parts = Net(), Net()
    loss(whole, ids()).backward()
    for part in ids().split(16):
        (loss(parts, part) / 2).backward()
    for at_once, in_parts in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(at_once.grad, in_parts.grad)


def test_copies_state_and_plain_tables() -> None:
    net = Net()
    net(ids())
    other = copy.deepcopy(net)
    loss(other, ids()).backward()
    assert all(p.grad is None for p in net.parameters())
    fresh = Net()
    fresh.load_state_dict(net.state_dict(), strict=True)
    plain = collapse(net)
    assert isinstance(plain.embedding, SingleEmbedding)
    torch.testing.assert_close(plain(ids()), fresh(ids()), rtol=0, atol=1e-6)
    tables = plain.embedding.to_nn_embeddings()
    vectors_BFD = torch.stack([table(ids()[:, f]) for f, table in enumerate(tables)], 1)
    assert torch.equal(vectors_BFD, plain.embedding(ids()))


def test_a_frozen_embedding_stays_frozen_and_one_that_is_not_finite_is_refused_by_name() -> None:
    net = Net()
    net.embedding.requires_grad_(False)
    assert {name for name, weight in collapse(net).named_parameters() if weight.requires_grad} == {
        "out.weight",
        "out.bias",
    }
    net.embedding.w2_FKD[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="embedding: its factors are not finite"):
        collapse(net)
    with pytest.raises(ValueError, match=r"cardinalities=\[3, 0\]"):
        MLETEmbedding([3, 0], dim=2, inner=4)


def test_start_comes_from_the_generator_and_unseen_rows_are_zero() -> None:
    seen = torch.ones(1050, dtype=torch.bool)
    seen[3] = False
    first, second = (
        MLETEmbedding(CARDINALITIES, dim=8, inner=16, seen=seen, generator=torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    assert torch.equal(first.w1.weight, second.w1.weight)
    assert torch.equal(first.w2_FKD, second.w2_FKD)
    assert not first(torch.tensor([[3, 0]]))[0, 0].any()
    paper = MLETEmbedding(CARDINALITIES, dim=8, inner=64, table_init="glorot", inner_std=0.25)
    assert float(paper.w2_FKD.std()) == pytest.approx(0.25, rel=0.1)
    assert float(paper.w1.weight[:1000].std()) == pytest.approx((2 / 1064) ** 0.5, rel=0.02)


def test_it_runs_under_autocast_in_the_precision_of_the_tables() -> None:
    net = Net()
    with torch.autocast("cpu", torch.bfloat16):
        assert net.embedding(ids()).dtype == torch.float32
        loss(net, ids()).backward()
    assert all(p.grad is not None for p in net.parameters())


def test_it_compiles() -> None:
    net = Net()
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(ids()), net(ids()))
    compiled(ids()).sum().backward()
    assert net.embedding.w1.weight.grad is not None


def test_a_collapsed_model_is_exported_with_a_batch_of_any_size() -> None:
    plain = collapse(Net()).eval()
    exported = torch.export.export(plain, (ids(),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.testing.assert_close(exported.module()(ids(7)), plain(ids(7)))


def _distributed(rank: int, port: int, folder: str) -> None:
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    net = DistributedDataParallel(Net())
    moving = torch.optim.SGD(net.parameters(), lr=0.5)
    for _ in range(3):
        moving.zero_grad()
        loss(net, ids().chunk(2)[rank]).backward()
        moving.step()
    if rank == 0:
        save_file(dict(net.module.state_dict()), Path(folder) / "model.safetensors")
    dist.destroy_process_group()


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_distributed, (port, str(tmp_path)), nprocs=2)
    net = Net()
    moving = torch.optim.SGD(net.parameters(), lr=0.5)
    for _ in range(3):
        moving.zero_grad()
        loss(net, ids()).backward()
        moving.step()
    for name, value in load_file(tmp_path / "model.safetensors").items():
        torch.testing.assert_close(value, net.state_dict()[name])


@pytest.mark.usefixtures("criteo_file")
@pytest.mark.parametrize(("model", "emb"), [("dlrm", "mlet"), ("lr", "mlet"), ("dlrm", "hash")])
def test_the_model_of_a_run_is_loaded(model: str, emb: str, command) -> None:  # type: ignore[no-untyped-def]
    tiny = TINY if model == "dlrm" else TINY[2:]
    words = ["dataset=criteo", "dataset.raw=train.txt", f"model={model}", f"emb={emb}", "emb.inner=5", *tiny]
    assert command("train", *words, "hydra.run.dir=run").code == 0
    loaded = load_model("run")
    assert not loaded.training
    assert loaded(torch.zeros(3, 26, dtype=torch.int32), torch.zeros(3, 13)).shape == (3,)
    assert command("evaluate", "run=run", "bits=8", "hydra.run.dir=evaluated").code == 0
    if emb == "hash":
        found, rows = json.loads(Path("evaluated/evaluation.json").read_text()), len(loaded.embedding.table.weight)
        assert rows == sum(loaded.embedding.cardinalities) // 2
        assert found["embedding_bytes"] == rows * loaded.embedding.dim + 26 * 4
    result = Path("run/result.json")
    result.write_text(result.read_text().replace('"numeric": 13,', '"numerik": 13,'))  # as runs before had it
    Path("run/DONE").write_text("")
    assert load_model("run").state_dict().keys() == loaded.state_dict().keys()
    with pytest.raises(UserError, match=r"no such folder\. Did you mean run\?"):
        load_model("runn")
    Path("run/DONE").unlink()
    with pytest.raises(UserError, match="not the folder of a finished run"):
        load_model("run")

"""What a user types: help, mistakes, exit codes."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlet_bench import cli
from mlet_bench.commands.help_text import choices
from tests.conftest import TINY, Ended, criteo_cells, write_criteo

Command = Callable[..., Ended]

MISTAKES = [
    ("emb.iner=64", ["emb.iner", "Did you mean emb.inner?"]),
    ("model=dlmr", ["model=dlmr", "Did you mean dlrm?"]),
    ("experimnt=quick", ["experimnt", "Did you mean experiment?"]),
    ("experiment=nope", ["experiment=nope", "quick"]),
    ("hydra.run.dirr=x", ["hydra.run.dirr", "Did you mean hydra.run.dir?"]),
    ("dataset=criteo dataset.raw=", ["dataset.raw=", "empty"]),
    ("dataset=criteo", ["dataset.raw", "criteo"]),
    ("dataset.raw=train.txt", ["dataset.raw=train.txt", "dataset=criteo"]),
    ("dataset=criteo dataset.raw=missing.txt", ["missing.txt", "no such file"]),
    ("dataset.prepared=missing", ["dataset.prepared=missing", "no such folder"]),
    ("dataset.prepared=.", ["manifest.json"]),
    ("dataset.item_field=C33", ["dataset.item_field=C33", "C26"]),
    ("dataset.group=I1", ["dataset.group=I1", "no such field", "C26"]),
    ("dataset.name=../up", ["dataset.name=../up"]),
    ("dataset.rank=17", ["dataset.rank=17", "16"]),
    ("dataset.train_share=0", ["dataset.train_share=0", "> 0"]),
    ("emb=mlet emb.inner=0", ["emb.inner=0", ">= 1"]),
    ("emb.inner=0", ["emb.inner=0", ">= 1"]),
    ("emb.inner=many", ["emb.inner=many", "whole number"]),
    ("emb=mlet emb.inner=null", ["emb.inner=null", "whole number"]),
    ("emb.dim=16.5", ["emb.dim=16.5", "whole number"]),
    ("emb.l2=0.1 emb.l2_rows=table", ["emb.l2_rows=table", "train.update=exact"]),
    ("emb.inner=16,32", ["emb.inner=16,32", "-m"]),
    ("seed=-1", ["seed=-1", ">= 0"]),
    ("seed=true", ["seed=true", "whole number"]),
    ("logger=tensorbord", ["logger", "tensorbord", "mlflow", "Did you mean tensorboard?"]),
    ("logger=true", ["logger=true", "tensorboard, mlflow"]),
    ("logger={a:1}", ["logger={a:1}: takes a list"]),
    ("logger=[mlflow,wandb]", ["logger", "wandb", "tensorboard, mlflow"]),
    ("train.batch_size=0", ["train.batch_size=0", ">= 1"]),
    ("train.optimizer=adma", ["train.optimizer=adma", "Did you mean adam?"]),
    ("train.eval_every=2.5", ["train.eval_every=2.5"]),
    ("model.top_mlp=[0]", ["model.top_mlp", ">= 1"]),
    ("model.dropout=1", ["model.dropout=1", "< 1"]),
    ("model=xdeepfm model.cin_layers=[]", ["model.cin_layers", "a list of one or more"]),
    ("model=autoint model.attention_heads=3", ["model.attention_dim=64", "a multiple of model.attention_heads"]),
    ("model=dcnv2 model.structure=stack", ["model.structure=stack", "Did you mean stacked?"]),
    ("model=DCN", ["model=DCN", "Did you mean dcn?"]),
    (
        "dataset.split=time",
        ["dataset=synthetic has no such key", "have it: avazu, avazu_paper, criteo, criteo_1tb, movielens1m, table."],
    ),
    ("lr=0.1", ["lr: no such key", "Did you mean emb.lr or train.lr?"]),
    ("lrr=0.1", ["lrr: no such key", "Did you mean emb.lr or train.lr?"]),
    ("model=autoin", ["model=autoin", "autoint"]),
    ("train.plateau_factor=1", ["train.plateau_factor=1", "< 1"]),
    ("train.clip_norm=0", ["train.clip_norm=0", "> 0 or null"]),
    ("model.name=other", ["model.name=other", "dlrm"]),
    ("eval.buckets=[10,5]", ["eval.buckets", "rising"]),
    ("hydra.run.dir=", ["hydra.run.dir=", "empty"]),
    ("+other=1", ["other", "no such key"]),
    ("~emb.dim", ["emb.dim", "missing"]),
    ("emb", ["emb", "key=value"]),
    ("dataset.raw=a=b", ["dataset.raw=a=b", "quote"]),
    ("--config-dir missing", ["missing", "no such folder"]),
    ("--colour", ["--colour", "--cfg"]),
    ("-m model=dlmr,dlrm", ["model=dlmr", "dlrm"]),
    ("-m emb.iner=1,2", ["emb.iner", "emb.inner"]),
    ("-m emb.inner=0,-1", ["emb.inner=0", ">= 1"]),
    ("-m dataset=criteo dataset.raw=missing seed=1,2", ["missing", "no such file"]),
    ("-m hydra.sweep.dir= seed=1,2", ["hydra.sweep.dir=", "empty"]),
    ("-m --cfg job seed=1,2", ["--cfg", "-m"]),
]


@pytest.mark.parametrize(("words", "named"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_mistake_is_one_clear_line_and_creates_nothing(
    command: Command, workplace: Path, words: str, named: list[str]
) -> None:
    ended = command("train", *words.split())
    assert ended.code == cli.MISTAKE
    assert ended.out == ""
    assert ended.err.count("\n") == 1
    for part in named:
        assert part in ended.err
    assert list(workplace.iterdir()) == []


def test_cuda_without_a_gpu(command: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    ended = command("train", "hardware=cuda")
    assert ended.code == cli.MISTAKE
    assert "hardware=cuda" in ended.err
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize("words", [
    ("train", "dataset=criteo", "dataset.raw=rovs"), ("train", "dataset.prepared=rovs"), ("evaluate", "run=rovs"),
    ("train", "--config-dir", "rovs"), ("report", "runs=rovs"),
], ids=str)  # fmt: skip
def test_a_path_that_is_not_there_names_the_nearest(command: Command, workplace: Path, words: tuple[str, ...]) -> None:
    (workplace / "rows").mkdir()
    ended = command(*words)
    assert (ended.code, ended.err.count("\n")) == (cli.MISTAKE, 1)
    assert "rovs: no such f" in ended.err
    assert "Did you mean rows?" in ended.err
    assert [path.name for path in workplace.iterdir()] == ["rows"]


def test_raw_file_with_39_columns(command: Command, workplace: Path) -> None:
    write_criteo(workplace / "train.txt", [row[:39] for row in criteo_cells(50)])
    ended = command("train", "dataset=criteo", "dataset.raw=train.txt")
    assert ended.code == cli.MISTAKE
    assert "line 1 has 39 columns" in ended.err
    assert [path.name for path in workplace.iterdir()] == ["train.txt"]


def test_run_that_cannot_fit_says_so_before_it_starts(command: Command, workplace: Path) -> None:
    ended = command("train", "experiment=quick", "emb=mlet", "emb.inner=100000000")
    assert ended.code == cli.MISTAKE
    assert "bytes of memory" in ended.err
    assert not (workplace / "outputs").exists()


def test_a_list_of_another_command_is_shown_as_one(command: Command, workplace: Path) -> None:
    ended = command("tune", "seeds=1,2")
    assert ended.code == cli.MISTAKE
    assert ended.err == "mlet-bench: seeds=1,2: several values; a list is written seeds=[1,2]\n"


def test_allowed_keys_are_those_of_the_command(command: Command) -> None:
    assert " bench," not in command("train", "zzz=1").err


def test_mistyped_command(command: Command) -> None:
    ended = command("trian")
    assert (ended.code, ended.out) == (cli.MISTAKE, "")
    assert "Did you mean train?" in ended.err


@pytest.mark.parametrize("words", [[], ["--help"], *([name, "--help"] for name in cli.COMMANDS)])
def test_help(command: Command, words: list[str]) -> None:
    ended = command(*words)
    assert ended.code == cli.DONE
    assert "mlet-bench" in ended.out
    assert "Example" in ended.out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_output_that_is_not_utf8_shows_what_it_can(
    criteo_file: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    words = ["dataset=criteo", f"dataset.raw={criteo_file}", *TINY]
    assert cli.main(["train", "--help"]) == cli.DONE
    assert cli.main(["train", "-m", *words, "seed=1,2"]) == cli.DONE
    out.flush()
    shown = out.buffer.getvalue().decode(encoding)
    assert "mlet-bench train [group=choice] [key=value] ?\n" in shown
    assert "2 jobs, 0 failed" in shown
    assert len(list(Path("outputs/criteo/dlrm/single").glob("*/DONE"))) == 2


def test_cfg_prints_the_config(command: Command, workplace: Path) -> None:
    ended = command("train", "emb=mlet", "--cfg", "job")
    assert "inner: 64" in ended.out
    assert list(workplace.iterdir()) == []


def test_prepare_tells_what_it_found(command: Command, criteo_file: Path) -> None:
    cells = criteo_cells(420)
    ended = command("prepare", "dataset=criteo", f"dataset.raw={criteo_file}", "hydra.run.dir=here")
    assert ended.code == cli.DONE
    table = {line.split()[0]: line.split()[1:] for line in ended.out.splitlines() if line.split()}
    positives = [sum(row[0] == "1" for row in part) for part in (cells[:360], cells[360:390], cells[390:])]
    assert [table[split][:2] for split in ("train", "valid", "test")] == [
        [rows, str(found)] for rows, found in zip(("360", "30", "30"), positives, strict=True)
    ]
    assert table["I3"] == [str(missing := sum(row[3] == "" for row in cells)), f"({missing / 4.2:.1f}", "%)", "numeric"]
    assert table["C1"][-1] == str(len({row[14] for row in cells[:360]}))
    assert "prepared folder: data/prepared/criteo-" in ended.out
    assert Path("here/prepare.json").is_file()
    assert command("prepare", "dataset=criteo", f"dataset.raw={criteo_file}", "verify=true").code == cli.DONE


def test_prepare_verify_notices_an_edited_file(command: Command, criteo_file: Path) -> None:
    command("prepare", "dataset=criteo", f"dataset.raw={criteo_file}")
    part = next(Path("data/prepared").glob("criteo-*/vocab/C7.parquet"))
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    ended = command("prepare", "dataset=criteo", f"dataset.raw={criteo_file}", "verify=true")
    assert ended.code == cli.MISTAKE
    assert "C7.parquet" in ended.err


def test_raw_path_with_equals_signs_and_spaces(command: Command, workplace: Path) -> None:
    folder = workplace / "a=b [c] d"
    folder.mkdir()
    write_criteo(folder / "train.txt", criteo_cells(40))
    assert command("prepare", "dataset=criteo", f"dataset.raw='{folder}'").code == cli.DONE


def test_sweep_records_a_bad_job_and_goes_on(command: Command, criteo_file: Path) -> None:
    words = ("dataset=criteo", f"dataset.raw={criteo_file}", *TINY, "emb=mlet")
    ended = command("train", "-m", *words, "emb.inner=0,3,5")
    assert ended.code == cli.FAILED
    assert "3 jobs, 1 failed" in ended.out
    assert "failed: emb.inner=0" in ended.out
    assert len(list(Path("outputs/criteo/dlrm/mlet").glob("*/DONE"))) == 2
    again = command("train", "-m", *words, "emb.inner=3,5")
    assert again.code == cli.DONE
    assert again.out.count("finished before") == 2
    assert len(list(Path("outputs/sweeps").iterdir())) == 2


def test_single_mode_is_one_run_whatever_inner_was_given(command: Command, criteo_file: Path) -> None:
    ended = command(
        "train", "-m", "dataset=criteo", f"dataset.raw={criteo_file}", *TINY, "emb=single", "emb.inner=3,5,null"
    )
    assert ended.code == cli.DONE
    assert "1 jobs, 0 failed" in ended.out
    assert len(list(Path("outputs/criteo/dlrm/single").iterdir())) == 1


def test_piped_output_is_neither_wrapped_nor_cut(command: Command, criteo_file: Path) -> None:
    deep = "/".join(["a-rather-long-folder-name"] * 6)
    ended = command("train", "dataset=criteo", f"dataset.raw={criteo_file}", *TINY, f"hydra.run.dir={deep}")
    assert f"run folder: {deep}\n" in ended.out
    assert "…" not in ended.out


def test_help_of_train_fits_a_screen_and_each_group_is_listed_whole(command: Command) -> None:
    lines = command("train", "--help").out.splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 105
    assert "frappe_x1/ (11)" in "".join(lines)
    listed = command("train", "--help", "experiment").out
    for name in choices("experiment"):
        folder, _, leaf = name.rpartition("/")
        (line,) = [
            line for line in listed.replace("\n    ", " ").splitlines() if line.split()[:1] == [f"{folder}/"]
        ] or [listed]
        assert leaf in line
    ended = command("train", "--help", "experimnt")
    assert (ended.code, ended.err.count("\n")) == (cli.MISTAKE, 1)
    assert "Did you mean experiment?" in ended.err


@pytest.mark.parametrize("words", ["train", "tune", "report runs=."])
@pytest.mark.parametrize("missing", ["hydra=None", "torch=None, scipy=None"])
def test_a_terminal_says_that_a_command_is_loading(workplace: Path, words: str, missing: str) -> None:
    """Before Hydra, PyTorch and SciPy are, which take seconds: without them a command comes no further than that."""
    code = f"import sys; sys.modules.update({missing}); from mlet_bench import cli; cli.main()"
    ours, theirs = os.openpty()
    arguments = [sys.executable, "-c", code, *words.split()]
    with subprocess.Popen(arguments, stdout=theirs, stderr=subprocess.PIPE) as process:
        said = os.read(ours, 100).decode()
        assert b"ModuleNotFoundError" in process.communicate()[1]
    os.close(ours)
    os.close(theirs)
    assert said.startswith("loading …")

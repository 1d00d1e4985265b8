"""scripts/download.py as a process of its own, against a hub on this machine."""

import hashlib
import io
import json
import os
import runpy
import shlex
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from mlet_bench.commands.help_text import choices
from mlet_bench.errors import RunFailedError
from mlet_bench.system.files import fingerprint
from mlet_bench.system.shipped import shipped
from tests.conftest import Ended

SCRIPT = Path(__file__).parents[2] / "scripts" / "download.py"
REPOSITORY = "reczoo/Frappe_x1"
SCRIPT_NAMES = runpy.run_path(str(SCRIPT))
"""Its functions, for what needs neither a hub nor a process."""
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS = {name: f"label,user\n{index},{name}\n".encode() * 2000 for index, name in enumerate(("train", "valid", "test"))}

# The script in its own process, with the config folder of the test: published md5 sums are read from there.
RUN = """
import pathlib, runpy, sys
from mlet_bench.system import shipped
conf, *sys.argv = sys.argv[1:]
shipped.shipped = lambda: pathlib.Path(conf)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass
class Hub:
    """What the hub holds, what goes wrong with it, and what it was asked for."""

    held: dict[str, bytes] = field(default_factory=dict)
    cut_after: int | None = None
    """The next body ends after this many bytes: the connection is closed, or held if `hold` is set."""
    hold: bool = False
    sent: threading.Event = field(default_factory=threading.Event)
    """Set when a held connection has sent what it will send."""
    release: threading.Event = field(default_factory=threading.Event)
    ranges: list[str | None] = field(default_factory=list)
    """The Range header of every request for a file's bytes."""
    asked: list[str] = field(default_factory=list)
    port: int = 0


class Handler(BaseHTTPRequestHandler):
    """The few routes of the hub that matter: the list of files, and a file by way of a redirect to another host."""

    protocol_version = "HTTP/1.1"

    def __init__(self, hub: Hub, *rest: Any) -> None:
        self.hub = hub
        super().__init__(*rest)

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        hub, path = self.hub, urlsplit(self.path).path
        hub.asked.append(f"{self.command} {path}")
        resolve = f"/datasets/{REPOSITORY}/resolve/"
        if path == f"/api/datasets/{REPOSITORY}/tree/main":
            listed = [
                {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
                for name, body in hub.held.items()
            ]
            self.reply(200, json.dumps(listed).encode(), {"Content-Type": "application/json"})
        elif path.startswith(resolve):
            revision, name = path.removeprefix(resolve).split("/", 1)
            assert revision in ("main", COMMIT)
            body = hub.held[name]
            if name.endswith(".zip"):  # a large file: elsewhere, its size and etag told beside the redirect
                elsewhere = {
                    "Location": f"http://localhost:{hub.port}/cdn/{name}",
                    "X-Linked-ETag": self.etag(body),
                    "X-Linked-Size": str(len(body)),
                    "X-Repo-Commit": COMMIT,
                }
                self.reply(302, b"", elsewhere)
            else:
                self.file(body)
        elif path.startswith("/cdn/"):
            self.file(hub.held[path.removeprefix("/cdn/")])
        else:
            self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"} if path.startswith("/api/datasets/") else {})

    def etag(self, body: bytes) -> str:
        return f'"{hashlib.sha256(body).hexdigest()}"'

    def file(self, body: bytes) -> None:
        headers = {"ETag": self.etag(body), "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        code, start = 200, 0
        if self.command == "GET":
            wanted = self.headers["Range"]
            self.hub.ranges.append(wanted)
            if wanted:
                code, start = 206, int(wanted.removeprefix("bytes=").split("-")[0])
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        self.reply(code, body[start:], headers)

    def reply(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = self.hub.cut_after if "ETag" in headers else None
        if cut is None:
            self.wfile.write(body)
            return
        self.hub.cut_after = None
        self.wfile.write(body[:cut])
        self.wfile.flush()
        if self.hub.hold:
            self.hub.sent.set()
            self.hub.release.wait(30)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub")
    made = Hub()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, made)) as server:
        made.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made
        made.release.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def conf(workplace: Path) -> Path:
    return publish(workplace, ROWS)


def publish(workplace: Path, rows: dict[str, bytes]) -> Path:
    """A config folder in which the md5 sums of these rows are the published ones."""
    folder = workplace / "conf" / "dataset"
    folder.mkdir(parents=True)
    for name in ("avazu_x1", "frappe_x1"):
        config = yaml.safe_load((shipped() / "dataset" / f"{name}.yaml").read_text())
        config["md5"] = {split: hashlib.md5(body).hexdigest() for split, body in rows.items()}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return workplace / "conf"


def start(conf: Path, *words: str, port: int = 9, path: Path | None = None) -> "subprocess.Popen[str]":
    """The script begun; without a hub it is given a port where nobody answers."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment.pop("HF_TOKEN", None)
    environment |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HOME": str(conf.parent / "hf-home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(path), environment.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(conf), str(SCRIPT), *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> Ended:
    out, err = process.communicate(timeout=60)
    return Ended(process.returncode, out, err)


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, body in entries.items():
            archive.writestr(name, body)
    return made.getvalue()


def csv(rows: dict[str, bytes] = ROWS) -> dict[str, bytes]:
    return {f"{name}.csv": body for name, body in rows.items()}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def one_line(ended: Ended, code: int, *said: str) -> None:
    assert ended.code == code, ended
    assert len(ended.err.splitlines()) == 1, ended.err
    for word in said:
        assert word in ended.err


DEFAULT = Path("data", "raw", "frappe_x1")

HELD: dict[str, Callable[[], dict[str, bytes]]] = {
    "csv": csv,
    "zip": lambda: {"Frappe_x1.zip": zipped({**csv(), "README.md": b"about"})},
    "zip with a folder": lambda: {
        "Frappe_x1.zip": zipped(
            {"Frappe_x1/": b""}
            | {f"Frappe_x1/{name}": body for name, body in csv().items()}
            | {f"__MACOSX/._{name}": b"fork" for name in csv()}
        )
    },
}


@pytest.mark.parametrize("kind", HELD)
def test_brings_the_three_files_and_a_second_call_nothing(hub: Hub, conf: Path, kind: str) -> None:
    hub.held = {"README.md": b"about", ".gitattributes": b"", **HELD[kind]()}
    ended = finish(start(conf, "frappe_x1", port=hub.port))
    assert (ended.code, ended.err) == (0, "")
    assert content(DEFAULT) == csv()
    *_, folder, command = ended.out.splitlines()
    assert folder.startswith(f"{DEFAULT}: ")
    assert command == f"mlet-bench prepare dataset=frappe_x1 dataset.raw={DEFAULT}"
    assert not any("README" in path for path in hub.asked)

    hub.asked.clear()
    ended = finish(start(conf, "frappe_x1", port=hub.port))
    assert ended.code == 0
    assert "nothing to do" in ended.out
    assert ended.out.splitlines()[-1] == command
    assert hub.asked == []


def test_brings_only_what_is_missing(hub: Hub, conf: Path) -> None:
    hub.held = csv()
    DEFAULT.mkdir(parents=True)
    (DEFAULT / "train.csv").write_bytes(ROWS["train"])
    assert finish(start(conf, "frappe_x1", port=hub.port)).code == 0
    assert content(DEFAULT) == csv()
    assert not any("train.csv" in path for path in hub.asked)


@pytest.mark.parametrize("kind", ["to", "environment"])
def test_goes_where_it_is_told(
    hub: Hub, conf: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    hub.held = csv()
    if kind == "environment":
        monkeypatch.setenv("MLET_BENCH_DATA", str(workplace / "big disk"))
        folder, words = workplace / "big disk" / "raw" / "frappe_x1", []
    else:
        folder = workplace / """it's "mine", k=64 [x]"""
        words = ["--to", str(folder)]
    ended = finish(start(conf, "frappe_x1", *words, port=hub.port))
    assert content(folder) == csv()
    words = shlex.split(ended.out.splitlines()[-1])
    assert words[:3] == ["mlet-bench", "prepare", "dataset=frappe_x1"]
    (override,) = OverridesParser.create().parse_overrides(words[3:])
    assert (override.key_or_group, override.value()) == ("dataset.raw", str(folder))


LARGE = {name: os.urandom(size << 20) for name, size in (("train", 24), ("valid", 1), ("test", 1))}
"""The hub's client hands on ten MiB at a time, so a part of a file is seen only in a larger one."""


@pytest.mark.parametrize("kind", ["csv", "zip"])
def test_a_cut_connection_goes_on_in_the_same_call(hub: Hub, workplace: Path, kind: str) -> None:
    conf = publish(workplace, LARGE)
    hub.held = csv(LARGE) if kind == "csv" else {"Frappe_x1.zip": zipped(csv(LARGE), zipfile.ZIP_STORED)}
    hub.cut_after = 15 << 20
    ended = finish(start(conf, "frappe_x1", port=hub.port))
    assert ended.code == 0, ended.err
    assert content(DEFAULT) == csv(LARGE)
    assert hub.ranges[:2] == [None, f"bytes={10 << 20}-"]


def test_ctrl_c_is_one_line_and_the_next_call_goes_on(hub: Hub, workplace: Path) -> None:
    conf = publish(workplace, LARGE)
    hub.held = {"Frappe_x1.zip": zipped(csv(LARGE), zipfile.ZIP_STORED)}
    hub.cut_after, hub.hold = 15 << 20, True
    process = start(conf, "frappe_x1", port=hub.port)
    assert hub.sent.wait(30)
    while not any(path.stat().st_size for path in DEFAULT.glob("*.part")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    one_line(finish(process), 130, "stopped", "resumes it")
    (part,) = DEFAULT.glob("*.part")
    have = part.stat().st_size
    assert 0 < have < 24 << 20
    assert [path.name for path in DEFAULT.iterdir()] == [part.name]

    ended = finish(start(conf, "frappe_x1", port=hub.port))
    assert ended.code == 0, ended.err
    assert content(DEFAULT) == csv(LARGE)
    assert hub.ranges == [None, f"bytes={have}-"]
    assert f"{have:,} of them here" in ended.out


def test_a_part_of_another_version_is_not_continued(hub: Hub, conf: Path) -> None:
    DEFAULT.mkdir(parents=True)
    (DEFAULT / "Frappe_x1.zip.0123456789ab.part").write_bytes(b"old")
    hub.held = {"Frappe_x1.zip": zipped(csv())}
    assert finish(start(conf, "frappe_x1", port=hub.port)).code == 0
    assert hub.ranges == [None]


def test_a_part_that_is_too_long_is_begun_anew(hub: Hub, conf: Path) -> None:
    hub.held = csv()
    etag = hashlib.sha256(ROWS["valid"]).hexdigest()
    DEFAULT.mkdir(parents=True)
    (DEFAULT / f"valid.csv.{fingerprint(etag)}.part").write_bytes(ROWS["valid"] + b"more")
    assert finish(start(conf, "frappe_x1", port=hub.port)).code == 0
    assert content(DEFAULT) == csv()
    assert hub.ranges == [None] * 3


@pytest.mark.parametrize("kind", ["csv", "zip"])
def test_other_content_than_published_is_named_and_kept(hub: Hub, conf: Path, kind: str) -> None:
    other = csv({**ROWS, "valid": b"label,user\n0,somebody else\n"})
    hub.held = other if kind == "csv" else {"Frappe_x1.zip": zipped(other)}
    ended = finish(start(conf, "frappe_x1", port=hub.port))
    found, published = (hashlib.md5(rows["valid.csv"]).hexdigest() for rows in (other, csv()))
    one_line(ended, 1, "valid.csv", found, published, "valid.csv.wrong-md5")
    assert set(content(DEFAULT)) == {"train.csv", "test.csv", "valid.csv.wrong-md5"}
    assert (DEFAULT / "valid.csv.wrong-md5").read_bytes() == other["valid.csv"]


def test_a_file_that_somebody_else_put_there_is_left_alone(hub: Hub, conf: Path) -> None:
    DEFAULT.mkdir(parents=True)
    (DEFAULT / "test.csv").write_bytes(b"mine")
    one_line(finish(start(conf, "frappe_x1", port=hub.port)), 1, "test.csv", hashlib.md5(b"mine").hexdigest(), "--to")
    assert content(DEFAULT) == {"test.csv": b"mine"}
    assert hub.asked == []


def test_a_zip_that_leaves_the_folder_is_refused_whole(hub: Hub, conf: Path, workplace: Path) -> None:
    hub.held = {"Frappe_x1.zip": zipped({**csv(), "../evil": b"evil"})}
    one_line(finish(start(conf, "frappe_x1", port=hub.port)), 1, "../evil", "nothing was unpacked")
    assert not list(DEFAULT.glob("*.csv*"))
    assert not list(workplace.rglob("*evil*"))


@pytest.mark.parametrize(
    "evil", ["/tmp/evil", "a/../../evil", "../train.csv", "..\\evil", "C:\\evil", "\\\\host\\evil"]
)
def test_every_way_out_of_the_folder_is_refused(workplace: Path, evil: str) -> None:
    archive = workplace / "some.zip"
    archive.write_bytes(zipped({**csv(), evil: b"evil"}))
    with pytest.raises(RunFailedError, match="would leave the folder"):
        list(SCRIPT_NAMES["unpack"](archive, list(ROWS), workplace))
    assert [path.name for path in workplace.iterdir()] == ["some.zip"]


def test_a_compression_that_python_does_not_know_is_left_to_the_user(workplace: Path) -> None:
    deflate64 = zipped(csv())
    for header in (b"PK\3\4\x14\0\0\0", b"PK\1\2\x14\3\x14\0\0\0"):
        deflate64 = deflate64.replace(header + b"\x08", header + b"\x09")
    archive = workplace / "some.zip"
    archive.write_bytes(deflate64)
    with pytest.raises(RunFailedError, match=r"not supported.*by hand"):
        list(SCRIPT_NAMES["unpack"](archive, list(ROWS), workplace))
    assert [path.name for path in workplace.iterdir()] == ["some.zip"]


def test_a_damaged_zip_is_fetched_anew(hub: Hub, conf: Path) -> None:
    sound = zipped(csv(), zipfile.ZIP_STORED)
    hub.held = {"Frappe_x1.zip": sound.replace(b"1,valid", b"1,vALid", 1)}
    one_line(finish(start(conf, "frappe_x1", port=hub.port)), 1, "damaged")
    assert set(content(DEFAULT)) == {"train.csv"}
    hub.held = {"Frappe_x1.zip": sound}
    assert finish(start(conf, "frappe_x1", port=hub.port)).code == 0
    assert content(DEFAULT) == csv()


@pytest.mark.parametrize(
    ("held", "said"),
    [({"README.md": b""}, "README.md"), ({"Frappe_x1.zip": zipped({"train.csv": b""})}, "valid.csv")],
)
def test_a_hub_without_the_rows_is_one_line(hub: Hub, conf: Path, held: dict[str, bytes], said: str) -> None:
    hub.held = held
    one_line(finish(start(conf, "frappe_x1", port=hub.port)), 1, said)


def test_a_hub_that_refuses_is_one_line(hub: Hub, conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_line(finish(start(conf, "avazu_x1", port=hub.port)), 1, "reczoo/Avazu_x1", "404", str(hub.port))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    one_line(finish(start(conf, "frappe_x1", port=hub.port)), 1, "reczoo/Frappe_x1", "offline")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["frape_x1"], ["frape_x1", "Did you mean frappe_x1?", "criteo_x4", "movielenslatest_x1"]),
        ([], ["name", "--help"]),
        (["frappe_x1", "--too", "here"], ["--too"]),
        (["frappe_x1", "--to", ""], ["--to"]),
        (["frappe_x1", "--to", "conf/dataset/frappe_x1.yaml"], ["not a folder"]),
    ],
)
def test_a_mistake_is_one_line_and_creates_nothing(
    conf: Path, workplace: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: list[str]
) -> None:
    one_line(Ended(SCRIPT_NAMES["main"](words), *capsys.readouterr()), 2, *said)
    assert [path.name for path in workplace.iterdir()] == ["conf"]


def test_a_missing_extra_is_one_line(conf: Path, workplace: Path) -> None:
    absent = workplace / "absent"
    absent.mkdir()
    (absent / "huggingface_hub.py").write_text("raise ModuleNotFoundError(name='huggingface_hub')\n")
    one_line(finish(start(conf, "frappe_x1", path=absent)), 2, "pip install", "[download]")
    assert not DEFAULT.exists()


def test_help_names_the_sets_that_have_a_config(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        SCRIPT_NAMES["main"](["--help"])
    out = capsys.readouterr().out
    configs = {
        name: yaml.safe_load((shipped() / "dataset" / f"{name}.yaml").read_text()) for name in choices("dataset")
    }
    bars = [name for name, config in configs.items() if config["reader"] == "bars"]
    assert sorted(bars) == sorted(SCRIPT_NAMES["REPOSITORIES"])
    for name in bars:
        assert name in out
        assert set(SCRIPT_NAMES["published_md5"](name)) == {"train", "valid", "test"}

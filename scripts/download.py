"""Fetch a ready-split BARS set from the Hugging Face hub into data/raw and check it against its published md5 sums.

    python scripts/download.py frappe_x1

Needs the extra `download`. What was fetched before an interruption is kept, and the same command resumes from it.
"""

import argparse
import re
import shlex
import shutil
import sys
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NoReturn

import yaml

from mlet_bench.errors import RunFailedError, UserError, listing, nearest
from mlet_bench.system import files
from mlet_bench.system.shipped import shipped

NAMES = ("Avazu_x1", "Avazu_x4", "Criteo_x1", "Criteo_x4", "Frappe_x1", "MovielensLatest_x1")
REPOSITORIES = {name.lower(): f"reczoo/{name}" for name in NAMES}
"""Our name of a set → its data set on the hub."""


class Parser(argparse.ArgumentParser):
    """argparse, except that a mistake is one line like every other one."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (--help shows how)")


def main(words: Sequence[str] | None = None) -> int:
    """Exit code: 0 the set is there, 1 it could not be fetched or differs, 2 the user's mistake, 130 Ctrl-C."""
    try:
        given = parser().parse_args(words)
        if given.name not in REPOSITORIES:
            hint = nearest(given.name, REPOSITORIES)
            raise UserError(f"{given.name}: no such set; allowed: {listing(REPOSITORIES)}.{hint}")
        folder = target(given.name, given.to)
        download(given.name, folder)
        print(f"mlet-bench prepare dataset={given.name} {shlex.quote(f'dataset.raw={hydra_quoted(str(folder))}')}")
        return 0
    except UserError as error:
        return end(str(error), 2)
    except RunFailedError as error:
        return end(str(error), 1)
    except KeyboardInterrupt:
        return end("stopped; the same command resumes it", 130)
    except OSError as error:  # a full disk, a missing right
        where = f"{error.filename}: " if error.filename else ""
        return end(f"{where}{error.strerror or error}", 1)


def end(line: str, code: int) -> int:
    print(f"download: {line}", file=sys.stderr)
    return code


def parser() -> Parser:
    made = Parser(
        prog="download.py",
        description="Fetch a ready-split BARS set from the Hugging Face hub and check it against its published md5.",
        epilog="The same command resumes a stopped download. HF_ENDPOINT names another hub, for example a mirror.",
        allow_abbrev=False,
    )
    made.add_argument("name", help=f"the set: {listing(REPOSITORIES)}")
    made.add_argument(
        "--to",
        metavar="DIR",
        help="the folder for train.csv, valid.csv and test.csv (default: raw/NAME in MLET_BENCH_DATA or data)",
    )
    return made


def target(name: str, to: str | None) -> Path:
    from mlet_bench.data.sources.raw import data_root

    if to == "":
        raise UserError("--to: needs a folder")
    folder = data_root() / "raw" / name if to is None else Path(to)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: not a folder")
    return folder


def hydra_quoted(path: str) -> str:
    """The path as a value of Hydra's grammar, in which "=", spaces and brackets mean something."""
    if re.fullmatch(r"[\w./-]+", path, re.ASCII):
        return path
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def download(name: str, folder: Path) -> None:
    """Bring the splits that `folder` lacks; RunFailedError names what could not be had or is not as published."""
    published = published_md5(name)
    wanted = missing(folder, published)
    if not wanted:
        print(f"{folder}: {listing(csv_names(published))} are there as published; nothing to do")
        return
    need_hub()
    folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder / ".download.lock", f"{folder}: another download is at work there"):
        differing = []
        for split, path in fetched(REPOSITORIES[name], wanted, folder):
            found = files.md5(path)
            if found == published[split]:
                path.replace(folder / f"{split}.csv")
                continue
            kept = path.replace(folder / f"{split}.csv.wrong-md5")
            differing.append(f"{split}.csv: md5 {found} is not the published {published[split]}, kept as {kept}")
    if differing:
        raise RunFailedError("; ".join(differing))
    print(f"{folder}: {listing(csv_names(published))}, all as published")


def published_md5(name: str) -> dict[str, str]:
    """Split → md5, as the data set's config has them."""
    config = yaml.safe_load((shipped() / "dataset" / f"{name}.yaml").read_text(encoding="utf-8"))
    return {str(split): str(md5) for split, md5 in config["md5"].items()}


def csv_names(splits: Iterable[str]) -> list[str]:
    return [f"{split}.csv" for split in splits]


def missing(folder: Path, published: dict[str, str]) -> list[str]:
    """The splits that are not there; a file of another content is not ours to replace, RunFailedError names it."""
    from mlet_bench.data.sources.raw import raw_file

    wanted = []
    for split, md5 in published.items():
        path = folder / f"{split}.csv"
        if not path.exists():
            wanted.append(split)
        elif (found := raw_file(path, threading.Event()).md5) != md5:
            raise RunFailedError(f"{path}: md5 {found} is not the published {md5}; move it away or use --to")
    return wanted


def need_hub() -> None:
    try:
        import huggingface_hub  # noqa: F401
    except ModuleNotFoundError:
        raise UserError("huggingface_hub is not installed; in a checkout: pip install -e '.[download]'") from None


def fetched(repository: str, wanted: list[str], folder: Path) -> Iterator[tuple[str, Path]]:
    """Each wanted split with the path of its rows, not yet compared with anything."""
    from huggingface_hub import HfApi

    api = HfApi()
    with told(f"{api.endpoint}/datasets/{repository}"):
        held = api.list_repo_files(repository, repo_type="dataset")
    tables = by_split(held, wanted)
    if tables:
        for split, name in tables.items():
            yield split, fetch(repository, name, folder)
        return
    archive = fetch(repository, archive_among(held, repository), folder)
    yield from unpack(archive, wanted, folder)
    archive.unlink()


def by_split(names: list[str], wanted: list[str]) -> dict[str, str]:
    """Split → the one name among `names` that is its csv, in whatever folder; empty unless all are there."""
    found = {split: [name for name in names if PurePosixPath(name).name == f"{split}.csv"] for split in wanted}
    return {split: names[0] for split, names in found.items()} if all(len(n) == 1 for n in found.values()) else {}


def archive_among(held: list[str], repository: str) -> str:
    """The zip of the set's own name, or the only one."""
    own = f"{repository.split('/')[1]}.zip"
    archives = [name for name in held if name.lower().endswith(".zip")]
    if own in archives or len(archives) == 1:
        return own if own in archives else archives[0]
    raise RunFailedError(f"{repository}: holds neither train.csv, valid.csv and test.csv nor {own}: {listing(held)}")


def fetch(repository: str, name: str, folder: Path) -> Path:
    """The whole file `name` of the hub as a file of ours in `folder`; what is there of it already is kept.

    hf_hub_download would be shorter, but when it is stopped it deletes what it had, and these are gigabytes.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented, not in __all__

    url = hf_hub_url(repository, name, repo_type="dataset")
    with told(url):
        known = get_hf_file_metadata(url)
    # Named after the content, so that a part is never continued with the bytes of another version.
    part = folder / f"{PurePosixPath(name).name}.{files.fingerprint(known.etag)}.part"
    have = part.stat().st_size if part.exists() else 0
    if known.size is not None:
        if have > known.size:  # nothing can be added to make it right
            part.unlink()
            have = 0
        if have == known.size:
            return part
        files.check_disk(folder, known.size - have, name)
        print(f"{name}: {known.size:,} bytes{f', {have:,} of them here' if have else ''}", flush=True)
    url = hf_hub_url(repository, name, repo_type="dataset", revision=known.commit_hash)
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}  # a range of compressed bytes is of no use
    with told(url), part.open("ab") as opened:
        http_get(url, opened, resume_size=have, headers=headers, expected_size=known.size)
    return part


@contextmanager
def told(what: str) -> Iterator[None]:
    """Any error of the hub's client as one line; it raises those of its HTTP library, another one by version."""
    try:
        yield
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise RunFailedError(f"{what}: {said}") from None


def unpack(archive: Path, wanted: list[str], folder: Path) -> Iterator[tuple[str, Path]]:
    """The wanted splits of a zip, each streamed to a file that appears when it is whole."""
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = by_split(checked_names(archive, opened), wanted)
            if not entries:
                raise RunFailedError(f"{archive}: does not hold one each of {listing(csv_names(wanted))}")
            size = sum(opened.getinfo(entry).file_size for entry in entries.values())
            files.check_disk(folder, size, "unpacking")
            for split, entry in entries.items():
                print(f"unpacking {entry}", flush=True)
                path = folder / f"{split}.csv.unchecked"
                with files.whole(path) as temporary, opened.open(entry) as source, temporary.open("wb") as rows:
                    shutil.copyfileobj(source, rows, 1 << 22)
                yield split, path
    except (NotImplementedError, RuntimeError) as error:  # a compression that Python does not know, a password
        by_hand = f"unpack {listing(csv_names(wanted))} by hand into {folder} and type the same command again"
        raise RunFailedError(f"{archive}: {error}; {by_hand}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        archive.unlink()  # else the same command would stop here again
        raise RunFailedError(f"{archive}: damaged ({error}) and deleted; the same command fetches it anew") from None


def checked_names(archive: Path, opened: zipfile.ZipFile) -> list[str]:
    """The names of a zip's entries; one that leads elsewhere is no accident, so nothing of such a zip is used."""
    for name in opened.namelist():
        path = PureWindowsPath(name)  # knows both kinds of slashes, and drives
        if path.drive or path.root or ".." in path.parts:
            raise RunFailedError(f"{archive}: refused, its entry {name} would leave the folder; nothing was unpacked")
    return opened.namelist()


if __name__ == "__main__":
    sys.exit(main())

"""How many damaged inputs the tests tried, by kind, and how many of them went wrong: told at the end of a test run."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

tried: Counter[str] = Counter()
failed: Counter[str] = Counter()


@contextmanager
def count(kind: str) -> Iterator[None]:
    """The block tries one input of this kind; an exception is a failure."""
    tried[kind] += 1
    try:
        yield
    except BaseException:
        failed[kind] += 1
        raise


def times(inputs: int) -> int:
    """Half as many inputs, or more where MLET_BENCH_EXAMPLES asks for more than 6: 12 are as many as are given."""
    return inputs * int(os.environ.get("MLET_BENCH_EXAMPLES", "6")) // 12


def every(number: int, values: Iterable[Any]) -> list[Any]:
    """As parameters of a test: each `number`th always, the others, which are near-equal, in `make test-more`."""
    return [pytest.param(v, marks=[] if place % number == 0 else pytest.mark.more) for place, v in enumerate(values)]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # a process of pytest-xdist: to the one that prints
        session.config.workeroutput["counts"] = (dict(tried), dict(failed))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for total, found in zip((tried, failed), getattr(node, "workeroutput", {}).get("counts", ()), strict=False):
        total.update(found)


def show(terminalreporter: Any) -> None:
    if tried:
        terminalreporter.section("damaged inputs")
        for kind in sorted(tried):
            terminalreporter.write_line(f"{tried[kind]:>7,} {kind}, {failed[kind]} failed")
        terminalreporter.write_line(f"{tried.total():>7,} together, {failed.total()} failed")

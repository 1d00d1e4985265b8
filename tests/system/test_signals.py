"""A signal that falls where nothing can be raised is neither lost nor shown as a traceback."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from mlet_bench.errors import Interrupted
from mlet_bench.system import signals


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hook = sys.unraisablehook
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)
    sys.unraisablehook = hook
    signals._requested = None


class Finalised:
    """Something whose end a signal hits."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_inside_a_finaliser(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    shown: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", shown.append)
    signals.install()
    Finalised(number)
    assert shown == []
    assert signals.requested() == number
    with pytest.raises(Interrupted) as caught:
        signals.raise_if_requested()
    assert caught.value.signal_number == number


def test_other_faults_of_finalisers_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: shown.append(found.exc_type))
    signals.install()
    signals.install()  # once a command

    class Faulty:
        def __del__(self) -> None:
            raise ValueError

    Faulty()
    assert shown == [ValueError]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_modules_are_imported_ends_the_process(number: signal.Signals) -> None:
    script = (
        "import signal\nfrom mlet_bench.system import signals\nsignals.install()\n"
        f"with signals.exit_immediately():\n    signal.raise_signal({int(number)})\nprint('went on')"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (128 + number, "")
    assert ended.stderr == "mlet-bench: stopped before anything was begun\n"


def test_signal_elsewhere_is_raised() -> None:
    with signals.exit_immediately():
        pass
    signals.install()
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGTERM)

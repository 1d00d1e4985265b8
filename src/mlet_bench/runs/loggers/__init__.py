"""Where a run's numbers go beside metrics.jsonl: TensorBoard and MLflow, where the config names them.

A logger hears every evaluation of a run once more when the run is resumed, and keeps each of them once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from mlet_bench.errors import Interrupted, RunFailedError, UserError
from mlet_bench.runs.loggers.mlflow import MLflowLogger
from mlet_bench.runs.loggers.tensorboard import TensorBoardLogger


class Logger(Protocol):
    PATH: str
    """The file or folder that it keeps in a run's folder."""
    IS_FOLDER: bool

    @classmethod
    def remove(cls, folder: Path) -> None:
        """What it wrote in a run's folder, and nothing of others."""

    def evaluated(self, line: Mapping[str, Any]) -> None:
        """A line of metrics.jsonl."""

    def finished(self, metrics: Mapping[str, float]) -> None:
        """The numbers of the test split."""

    def close(self, state: str) -> None:
        """The run is done, failed or stopped."""


LOGGERS: dict[str, type[TensorBoardLogger] | type[MLflowLogger]] = {
    "tensorboard": TensorBoardLogger,
    "mlflow": MLflowLogger,
}
"""Each is made from a run's folder and its config, flat: `emb.dim` → 16."""


def check(names: Sequence[str]) -> None:
    """UserError if a logger's package is not installed."""
    for name in names:
        try:
            LOGGERS[name].check()
        except ImportError as error:
            raise UserError(f"logger={name}: {error}; pip install 'mlet-bench[{name}]' brings it") from None


class MetricLoggers:
    """All loggers of a run. One that fails is reported, and the run continues without it."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.loggers: dict[str, Logger] = {}
        self.state = "failed"
        """What the run has come to, unless more follows."""

    def evaluated(self, line: Mapping[str, Any]) -> None:
        """A line of metrics.jsonl; what is null in it is left out."""
        known = {name: value for name, value in line.items() if value is not None}
        self._each(lambda logger: logger.evaluated(known))

    def finished(self, metrics: Mapping[str, Any]) -> None:
        """Metrics of the test split; what is no number is left out."""
        numbers = {f"test_{name}": value for name, value in metrics.items() if isinstance(value, int | float)}
        self._each(lambda logger: logger.finished(numbers))
        self.state = "done"

    def close(self) -> None:
        self._each(lambda logger: logger.close(self.state))

    def _each(self, call: Callable[[Logger], None]) -> None:
        for name, logger in list(self.loggers.items()):
            try:
                call(logger)
            except Exception as error:  # of any kind: a server that is gone must not end a training of days
                del self.loggers[name]
                self.say(f"note: logger={name} failed ({_first_line(error)}); the run continues without it")


@contextmanager
def opened(
    names: Sequence[str], folder: Path, config: Mapping[str, Any], say: Callable[[str], None]
) -> Iterator[MetricLoggers]:
    """The loggers of a run, closed at its end; RunFailedError if one cannot begin."""
    metric_loggers = MetricLoggers(say)
    try:
        for name in names:
            try:
                metric_loggers.loggers[name] = LOGGERS[name](folder, config)
            except Exception as error:
                raise RunFailedError(f"logger={name}: cannot begin ({_first_line(error)})") from None
        yield metric_loggers
    except Interrupted:
        metric_loggers.state = "stopped"
        raise
    finally:
        metric_loggers.close()


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__

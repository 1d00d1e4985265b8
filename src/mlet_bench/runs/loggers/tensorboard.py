"""Event files for TensorBoard in the run's folder, written by PyTorch's SummaryWriter."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


class TensorBoardLogger:
    """The files are written anew when a run is resumed, so that they hold every evaluation once."""

    PATH, IS_FOLDER = "tensorboard", True

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.remove(folder)
        self._config, self._step = config, 0
        # purge_step: a TensorBoard that is open forgets what it read from the files that were removed
        self._writer: Any = SummaryWriter(str(folder / self.PATH), purge_step=0)

    @staticmethod
    def check() -> None:
        """ImportError if it is not installed."""
        try:
            import torch.utils.tensorboard
        except ImportError:
            raise ImportError("the package tensorboard is not installed") from None
        assert torch.utils.tensorboard

    @classmethod
    def remove(cls, folder: Path) -> None:
        """The event files of a run, and their folder unless it holds anything else."""
        for path in (folder / cls.PATH).glob("events.out.tfevents.*"):
            path.unlink()
        with suppress(OSError):
            (folder / cls.PATH).rmdir()

    def evaluated(self, line: Mapping[str, Any]) -> None:
        self._step = line["step"]
        for name, value in line.items():
            if name != "step":
                self._writer.add_scalar(name, value, self._step)
        self._writer.flush()

    def finished(self, metrics: Mapping[str, float]) -> None:
        hparams = {name: "null" if value is None else value for name, value in self._config.items()}
        self._writer.add_hparams(hparams, dict(metrics), run_name=".", global_step=self._step)

    def close(self, state: str) -> None:
        self._writer.close()

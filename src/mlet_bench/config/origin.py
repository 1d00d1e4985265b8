"""Where a mistake in a composed config comes from: an override, or the file of an experiment."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mlet_bench.config.base import flat
from mlet_bench.errors import UserError

WHERE = ("full_key:", "object_type=", "reference_type=")


@dataclass(frozen=True)
class Origin:
    """The keys that an experiment set, and its file."""

    experiment: str
    file: str
    keys: Mapping[str, Any]

    @classmethod
    def of(cls, loader: Any, experiment: str | None, given: Collection[str]) -> "Origin":
        """Of the chosen experiment, without the keys that were `given` as overrides, since those win."""
        loaded = loader.repository.load_config(f"experiment/{experiment}") if experiment else None
        if loaded is None:
            return cls("", "", {})
        folder = "conf" if loaded.provider == "mlet-bench" else loaded.path.removeprefix("file://")
        values = OmegaConf.to_container(loaded.config, resolve=False)
        keys = {key: value for key, value in flat(values) if key not in given}
        return cls(str(experiment), f"{folder}/experiment/{experiment}.yaml", keys)

    @contextmanager
    def named(self) -> Iterator[None]:
        """A UserError that begins with a key of the experiment names the experiment's file."""
        try:
            yield
        except UserError as error:
            key = re.match(r"[\w.]*\w", str(error))
            if key is None or key[0] not in self.keys:
                raise
            raise UserError(f"{error} It was set by experiment={self.experiment}, {self.file}") from None


def first_line(error: Exception) -> str:
    """What Hydra says of an override, without the lines that tell where in its own objects that was."""
    lines = [line.strip() for line in str(error).splitlines()]
    if len(lines) == 1 and isinstance(error.__cause__, OmegaConfBaseException):
        reason = str(error.__cause__).splitlines()[0]
        lines.append("takes a list" if reason == "Cannot merge DictConfig with ListConfig" else reason)
    said = ": ".join(line for line in lines if line and not line.startswith(WHERE))
    said = re.sub(r"^Error merging override |^\w+ raised while resolving interpolation: ", "", said)
    key = str(getattr(error, "full_key", None) or "")
    return said if key in said else f"{key}: {said}"

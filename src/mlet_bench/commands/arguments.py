"""What stands behind a command's name: Hydra overrides, and the few flags that are ours or Hydra's."""

from dataclasses import dataclass, field
from pathlib import Path

from mlet_bench.errors import UserError, listing, nearest


@dataclass
class Arguments:
    """Of one call."""

    overrides: list[str] = field(default_factory=list)
    multirun: bool = False
    show_config: bool = False
    config_dir: Path | None = None


def parse(words: list[str]) -> Arguments:
    """UserError for an option that there is not."""
    arguments = Arguments()
    flags = ["--help", "-m", "--multirun", "--cfg", "--config-dir"]
    remaining = iter(words)
    for word in remaining:
        name, sign, value = word.partition("=")
        if word in ("-m", "--multirun"):
            arguments.multirun = True
        elif name in ("--cfg", "-c"):
            if (value if sign else next(remaining, "")) != "job":
                raise UserError("--cfg: allowed: job")
            arguments.show_config = True
        elif name in ("--config-dir", "-cd"):
            folder = value if sign else next(remaining, "")
            if not folder:
                raise UserError("--config-dir: needs a folder")
            arguments.config_dir = Path(folder)
        elif word.startswith("-"):
            raise UserError(f"{word}: no such option; allowed: {listing(flags)}.{nearest(word, flags)}")
        else:
            # A threshold, which Hydra reads in quotes alone; the shell took those that were given.
            arguments.overrides.append(
                f'{name}="{value}"' if value.startswith(("<", ">")) and '"' not in value else word
            )
    return arguments

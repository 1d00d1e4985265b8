"""The config of a call that does not sweep, made or only shown. Heavy modules are imported when it is made."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mlet_bench.commands.arguments import Arguments
from mlet_bench.errors import UserError
from mlet_bench.report.console.loading import loading

if TYPE_CHECKING:
    from mlet_bench.config.compose import Composed, Composer


def one_config(
    command: str, arguments: Arguments, compose: "Callable[[Composer, Sequence[str]], Composed] | None" = None
) -> "Composed | None":
    """The one config of a command that does not sweep; None when it was only to be shown."""
    with loading():
        from mlet_bench.config.compose import Composer

    if arguments.multirun:
        raise UserError(f"-m: {command} takes one config a call; sweeps are for train")
    composed = (compose or Composer.one)(Composer(command, arguments.config_dir), arguments.overrides)
    if arguments.show_config:
        show_config(composed)
        return None
    return composed


def show_config(composed: "Composed") -> None:
    """On standard output, as YAML."""
    import yaml

    print(yaml.safe_dump(composed.values, sort_keys=False), end="")

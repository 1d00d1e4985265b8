"""What is used of Hydra beside its public interface, in one place, so that another version of it is named as the cause.

`hydra.compose` cannot put a user's folder before the one with the primary config, nor run a sweep: its own
`hydra.main` makes these objects for that.
"""

import hydra

from mlet_bench.errors import UserError

try:
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra._internal.hydra import Hydra

    Hydra.create_main_hydra2, Hydra.multirun, Hydra.compose_config, BasicSweeper.split_arguments  # noqa: B018
except (ImportError, AttributeError) as error:
    raise UserError(
        f"hydra-core {hydra.__version__} is not what mlet-bench was made for ({error}); "
        "pip install 'hydra-core>=1.3.2,<1.4'"
    ) from None

__all__ = ["BasicSweeper", "ConfigLoaderImpl", "ConfigSearchPathImpl", "Hydra"]

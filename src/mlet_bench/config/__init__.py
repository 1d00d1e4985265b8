"""The typed schema of every command; YAML becomes Python here and nowhere else.

The YAML files under conf/ hold every default, so no field has one here: a field says its type, its limits
and, where the name does not, its unit. A model's own section is described beside the model.
"""

from mlet_bench.config.base import Section, Widths, convert
from mlet_bench.config.command import (
    LATER,
    EmbConfig,
    EvalConfig,
    EvaluateCommand,
    HardwareConfig,
    ModelSection,
    PrepareCommand,
    ReportCommand,
    TrainCommand,
    TrainConfig,
    convert_command,
)
from mlet_bench.config.dataset import (
    DATASETS,
    AvazuConfig,
    BarsConfig,
    CriteoConfig,
    DatasetConfig,
    MovieLens1MConfig,
    SyntheticConfig,
    TableConfig,
)

__all__ = [
    "DATASETS",
    "LATER",
    "AvazuConfig",
    "BarsConfig",
    "CriteoConfig",
    "DatasetConfig",
    "EmbConfig",
    "EvalConfig",
    "EvaluateCommand",
    "HardwareConfig",
    "ModelSection",
    "MovieLens1MConfig",
    "PrepareCommand",
    "ReportCommand",
    "Section",
    "SyntheticConfig",
    "TableConfig",
    "TrainCommand",
    "TrainConfig",
    "Widths",
    "convert",
    "convert_command",
]

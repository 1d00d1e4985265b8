"""The typed schema of every command; YAML becomes Python here and nowhere else.

The YAML files under conf/ hold every default, so no field has one here: a field says its type, its limits
and, where the name does not, its unit. A model's own section is described beside the model.
"""

from mlet_bench.config.base import Section, Widths, convert, flat
from mlet_bench.config.command import (
    BenchCommand,
    EvalConfig,
    EvaluateCommand,
    EvaluateHardware,
    ExportCommand,
    ModelSection,
    PrepareCommand,
    ReportCommand,
    TrainCommand,
    TrainConfig,
    convert_command,
    monitored,
    monitored_name,
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
from mlet_bench.config.emb import EMBEDDINGS, FrozenMLETEmbConfig, MLETEmbConfig, SingleEmbConfig
from mlet_bench.config.emb_base import EmbConfig
from mlet_bench.config.hardware import HardwareConfig
from mlet_bench.config.tune import ArmsConfig, SearchConfig, TuneCommand

__all__ = [
    "DATASETS",
    "EMBEDDINGS",
    "ArmsConfig",
    "AvazuConfig",
    "BarsConfig",
    "BenchCommand",
    "CriteoConfig",
    "DatasetConfig",
    "EmbConfig",
    "EvalConfig",
    "EvaluateCommand",
    "EvaluateHardware",
    "ExportCommand",
    "FrozenMLETEmbConfig",
    "HardwareConfig",
    "MLETEmbConfig",
    "ModelSection",
    "MovieLens1MConfig",
    "PrepareCommand",
    "ReportCommand",
    "SearchConfig",
    "Section",
    "SingleEmbConfig",
    "SyntheticConfig",
    "TableConfig",
    "TrainCommand",
    "TrainConfig",
    "TuneCommand",
    "Widths",
    "convert",
    "convert_command",
    "flat",
    "monitored",
    "monitored_name",
]

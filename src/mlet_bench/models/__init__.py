"""CTR models; each receives its embedding and never asks whether it is factorised."""

from typing import Any

from mlet_bench.config import ModelSection, Section, convert
from mlet_bench.embedding import Embedding
from mlet_bench.errors import UserError, listing, nearest
from mlet_bench.models.autoint import AutoInt
from mlet_bench.models.base import CTRModel
from mlet_bench.models.dcn import DCN
from mlet_bench.models.dcnv2 import DCNv2
from mlet_bench.models.deepfm import DeepFM
from mlet_bench.models.dlrm import DLRM
from mlet_bench.models.fm import FM
from mlet_bench.models.lr import LR
from mlet_bench.models.nfm import NFM
from mlet_bench.models.widedeep import WideDeep
from mlet_bench.models.xdeepfm import XDeepFM

__all__ = ["MODELS", "CTRModel", "build", "chosen", "settings_of"]

MODELS: dict[str, type[CTRModel]] = {
    "autoint": AutoInt,
    "autoint_plus": AutoInt,  # with an MLP; a choice and a name of its own, so that its runs have their own folders
    "dcn": DCN,
    "dcnv2": DCNv2,
    "deepfm": DeepFM,
    "dlrm": DLRM,
    "fm": FM,
    "lr": LR,
    "nfm": NFM,
    "widedeep": WideDeep,
    "xdeepfm": XDeepFM,
}


def settings_of(section: ModelSection) -> Section:
    """The model's own settings, checked by its schema; UserError names what is wrong."""
    if section.name not in MODELS:
        raise UserError(
            f"model.name={section.name}: no such model; allowed: {listing(MODELS)}." + nearest(section.name, MODELS)
        )
    return convert(MODELS[section.name].Settings, section.settings, "model")


def chosen(section: ModelSection) -> dict[str, Any]:
    """What a fingerprint takes of a model: its name and settings.

    A setting has a default only where runs were made before there was the setting; at it they are the same runs.
    """
    return {"name": section.name, **settings_of(section).model_dump(mode="json", exclude_defaults=True)}


def build(section: ModelSection, embedding: Embedding, num_numeric: int) -> CTRModel:
    """A model around `embedding`, its dense weights drawn from PyTorch's global generator."""
    settings = settings_of(section)
    return MODELS[section.name](embedding, num_numeric, settings)

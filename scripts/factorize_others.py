"""MLET in models that others wrote: DeepCTR-Torch's DCN and FuxiCTR's DeepFM, trained by their own loops, collapsed.

    pip install deepctr-torch requests         (each in an environment of its own, with this package)
    python scripts/factorize_others.py deepctr
    pip install fuxictr                        (and a checkout of FuxiCTR, whose model zoo is in no package)
    python scripts/factorize_others.py fuxictr FuxiCTR/model_zoo

On generated rows. Prints the loss before and after, how far training moved the logits, the largest change of a logit
by collapse, and whether the state_dict has the names and shapes again that it had before.
"""

import argparse
import contextlib
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mlet_bench import collapse, factorize

ROWS, BATCH, DIM, INNER, FIELDS = 8192, 256, 8, 32, (2000, 300, 50, 7)
L2 = 1e-5


def rows() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns C1 … C4 and I1, and a label that hangs on two categories."""
    generator = np.random.default_rng(1)
    columns = {f"C{field}": generator.zipf(1.3, ROWS) % n for field, n in enumerate(FIELDS, 1)}
    effects = [generator.normal(size=n) for n in FIELDS]
    logit = effects[0][columns["C1"]] + effects[1][columns["C2"]]
    label = (generator.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    return {**columns, "I1": generator.random(ROWS).astype(np.float32)}, label


def show(name: str, model: nn.Module, train: Callable[[], Any], logits: Callable[[nn.Module], np.ndarray]) -> None:
    """Factorize, train by `train`, collapse, compare."""
    _, label = rows()
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    start = logits(model)
    tables = factorize(model, INNER, filter=lambda _, module: module.embedding_dim > 1, generator=torch.Generator())
    same_start = np.abs(logits(model) - start).max()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        train()
    trained = logits(model)
    plain = collapse(model)
    change = np.abs(logits(plain) - trained).max()
    kept = {key: value.shape for key, value in plain.state_dict().items()} == shapes
    print(f"{name}: {len(tables)} tables as products, k = {INNER}; largest change of a logit by that {same_start:.1e}")
    print(f"  logloss {_logloss(start, label):.4f} → {_logloss(trained, label):.4f}, by its own loop")
    print(f"  largest change of a logit by collapse {change:.1e}; names and shapes of its state_dict as before: {kept}")
    if not kept or change > 1e-5 * max(1, np.abs(trained).max()):
        sys.exit(1)


def _logloss(logit: np.ndarray, label: np.ndarray) -> float:
    return float((np.logaddexp(0, logit) - label * logit).mean())


def _logit(probability: np.ndarray) -> np.ndarray:
    probability = probability.astype(np.float64)
    return np.log(probability) - np.log1p(-probability)


def deepctr() -> None:
    from deepctr_torch.inputs import DenseFeat, SparseFeat
    from deepctr_torch.models import DCN

    columns, label = rows()
    features = [SparseFeat(f"C{field}", n, embedding_dim=DIM) for field, n in enumerate(FIELDS, 1)]
    features.append(DenseFeat("I1", 1))
    model = DCN(features, features, dnn_hidden_units=(64, 64), l2_reg_embedding=L2, seed=1)

    def train() -> None:
        # It keeps the tables themselves for its L2, by identity: the factors take their place.
        own = {id(p) for p in model.parameters()}
        model.regularization_weight = [
            entry for entry in model.regularization_weight if all(id(_tensor(p)) in own for p in entry[0])
        ]
        model.add_regularization_weight(model.embedding_dict.parameters(), l2=L2)
        model.compile("adam", "binary_crossentropy")  # the optimiser is made here, over the factors
        model.fit(columns, label, batch_size=BATCH, epochs=3, verbose=0)

    def logits(net: Any) -> np.ndarray:
        return _logit(net.predict(columns, BATCH)[:, 0])

    show("DeepCTR-Torch's DCN", model, train, logits)


def _tensor(entry: Any) -> Any:
    return entry[1] if isinstance(entry, tuple) else entry


def fuxictr(zoo: Path) -> None:
    sys.path.insert(0, str(zoo / "DeepFM" / "DeepFM_torch" / "src"))
    from DeepFM import DeepFM
    from fuxictr.features import FeatureMap

    columns, label = rows()
    with tempfile.TemporaryDirectory() as folder:
        features = FeatureMap("rows", folder)
        for field, n in enumerate(FIELDS, 1):
            features.features[f"C{field}"] = {"source": "", "type": "categorical", "vocab_size": int(n)}
        features.features["I1"] = {"source": "", "type": "numeric"}
        features.labels, features.default_emb_dim = ["label"], DIM
        features.num_fields = features.get_num_fields()
        features.total_features = sum(FIELDS) + 1
        features.set_column_index()
        tensors = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in columns.items()}
        tensors["label"] = torch.from_numpy(label)
        batches = [{name: values[at : at + BATCH] for name, values in tensors.items()} for at in range(0, ROWS, BATCH)]
        model = DeepFM(
            features, embedding_dim=DIM, optimizer="adam", loss="binary_crossentropy", metrics=["AUC", "logloss"],
            monitor="AUC", model_root=folder, embedding_regularizer=L2, net_regularizer=0, verbose=0,
            task="binary_classification",
        )  # fmt: skip
        Path(model.model_dir).mkdir(parents=True, exist_ok=True)

        def train() -> None:
            model.compile("adam", "binary_crossentropy", 1e-2)  # the optimiser is made here, over the factors
            model.fit(batches, epochs=3, validation_data=batches)

        def logits(net: Any) -> np.ndarray:
            return _logit(net.predict(batches))

        show("FuxiCTR's DeepFM", model, train, logits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=["deepctr", "fuxictr"])
    parser.add_argument("zoo", nargs="?", type=Path, help="model_zoo/ of a checkout of FuxiCTR")
    given = parser.parse_args()
    if given.library == "fuxictr" and (given.zoo is None or not given.zoo.is_dir()):
        parser.error("fuxictr needs the folder model_zoo/ of a checkout of FuxiCTR")
    try:
        deepctr() if given.library == "deepctr" else fuxictr(given.zoo)
    except ModuleNotFoundError as error:
        parser.error(f"{error.name} is not installed here; see --help")


if __name__ == "__main__":
    main()

"""Samples/s of DeepCTR-Torch's models in the sizes that `mlet-bench bench` times ours with.

    pip install deepctr-torch requests         (in an environment of its own)
    python scripts/time_deepctr_torch.py dcn|autoint_plus ROWS.npz

ROWS.npz holds ids (R × F), numeric (R × N), label (R) and cardinalities (F), as scripts/bench.py writes them. The
first two batches warm up. Prints one line of JSON.
"""

import contextlib
import io
import json
import sys
import time

import numpy as np
from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models import DCN, AutoInt

BATCH, DIM, WIDTHS = 4096, 16, (400, 400, 400)


def main() -> None:
    name, rows = sys.argv[1], np.load(sys.argv[2])
    columns = [SparseFeat(f"C{i}", int(size), embedding_dim=DIM) for i, size in enumerate(rows["cardinalities"])]
    columns += [DenseFeat(f"I{i}", 1) for i in range(rows["numeric"].shape[1])]
    inputs = {f"C{i}": column for i, column in enumerate(rows["ids"].T)}
    inputs |= {f"I{i}": column for i, column in enumerate(rows["numeric"].T)}
    if name == "dcn":
        model = DCN(columns, columns, cross_num=3, dnn_hidden_units=WIDTHS, device="cpu")
    else:
        model = AutoInt(columns, columns, att_layer_num=3, att_head_num=2, dnn_hidden_units=WIDTHS, device="cpu")
    model.compile("adam", "binary_crossentropy", metrics=[])

    def fit(start: int, stop: int) -> float:
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            part = {key: values[start:stop] for key, values in inputs.items()}
            model.fit(part, rows["label"][start:stop], batch_size=BATCH, epochs=1, verbose=0)
        return time.perf_counter() - began

    fit(0, 2 * BATCH)
    seconds = fit(2 * BATCH, len(rows["label"]))
    samples = (len(rows["label"]) - 2 * BATCH) / seconds
    print(json.dumps({"peer": "deepctr-torch", "model": name, "samples_per_s": samples}))


if __name__ == "__main__":
    main()

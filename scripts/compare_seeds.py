"""Mean, spread and paired differences over seeds of the runs in a folder, as the tables of docs/results.md.

    python scripts/compare_seeds.py outputs

An arm is everything but the seed: data set, model, emb mode, k and emb.lr. Differences are paired by seed against
emb=single with the default learning rate and against the single arm with the best mean validation AUC; "t" is
their mean over their standard error.
"""

import json
import math
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

PLACES = [(None, None), *((field, b) for field in ("C3", "rarest") for b in ("0", "1-9", "10-99", "100-999"))]


def load(folder: Path) -> dict[str, dict[tuple[str, int | None, float | None], dict[int, Any]]]:
    found: dict[str, Any] = defaultdict(lambda: defaultdict(dict))
    for done in sorted(folder.rglob("DONE")):
        config = yaml.safe_load((done.parent / "config.yaml").read_text())
        result = json.loads((done.parent / "result.json").read_text())
        data, emb = config["dataset"], config["emb"]
        name = f"{data['name']} {data.get('structure', '')} ({result['dataset']['fingerprint']})"
        found[name][emb["mode"], emb["inner"], emb["lr"]][config["seed"]] = result
    return found


def auc(result: dict[str, Any], field: str | None, bucket: str | None, key: str = "auc") -> float:
    if field is None:
        return float(result["metrics"]["test"][key])
    return next(float(b[key]) for b in result["buckets"] if (b["field"], b["bucket"]) == (field, bucket))


def spread(values: list[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else math.nan
    return f"{statistics.mean(values):.4f} ± {deviation:.4f}"


def difference(runs: dict[int, Any], base: dict[int, Any], place: tuple[str | None, str | None]) -> str:
    values = [auc(runs[seed], *place) - auc(base[seed], *place) for seed in sorted(runs.keys() & base.keys())]
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{statistics.mean(values):+.4f} (t {statistics.mean(values) / error:.1f})" if error else "0"


def label(arm: tuple[str, int | None, float | None]) -> str:
    mode, inner, lr = arm
    return f"{mode}{f' k={inner}' if inner else ''}, emb.lr {'default' if lr is None else lr}"


def main() -> None:
    for name, arms in load(Path(sys.argv[1])).items():
        any_run = next(iter(next(iter(arms.values())).values()))
        valid = {
            arm: statistics.mean(r["metrics"]["valid"]["auc"] for r in runs.values()) for arm, runs in arms.items()
        }
        default = arms["single", None, None]
        tuned_arm = max((arm for arm in arms if arm[0] == "single"), key=valid.__getitem__)
        print(f"\n## {name}\n\n| arm | seeds | valid AUC | test AUC | test logloss |\n|---|---|---|---|---|")
        for arm, runs in sorted(arms.items(), key=str):
            loss = spread([r["metrics"]["test"]["logloss"] for r in runs.values()])
            quality = spread([auc(r, None, None) for r in runs.values()])
            print(f"| {label(arm)} | {len(runs)} | {valid[arm]:.4f} | {quality} | {loss} |")
        mlet_arms = [arm for arm in sorted(arms, key=str) if arm[0] == "mlet"]
        mlet_tuned = max(mlet_arms, key=valid.__getitem__)
        columns = [("mlet, defaults - single, defaults", arms["mlet", 64, None], default),
                   (f"{label(mlet_tuned)} - {label(tuned_arm)}", arms[mlet_tuned], arms[tuned_arm])]  # fmt: skip
        titles = " | ".join(title for title, _, _ in columns)
        print(f"\n| test rows | rows | best AUC | single | {titles} |\n|---|---|---|---|---|---|")
        for place in PLACES:
            where = "all" if place[0] is None else " ".join(map(str, place))
            cells = [difference(runs, base, place) for _, runs, base in columns]
            single = spread([auc(r, *place) for r in default.values()])
            rows, best = auc(any_run, *place, key="rows"), auc(any_run, *place, key="best_auc")
            print(f"| {where} | {rows:,.0f} | {best:.4f} | {single} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

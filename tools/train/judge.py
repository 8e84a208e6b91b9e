"""Compares folders of models on a split of labelled clouds: boxes' AP50 by part, then what `partstad evaluate` gives, each
with its standard error over objects. Differences are from the first folder, object by object.

    python judge.py CLOUDS MODELS... -o OUT [--split val] [--partstad PATH]
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import numpy as np

from dataset import KEPT, Dataset
from evaluate import Models, average_precision, match

METHODS = ("partslip", "no-weights", "agreement")  # boxes vote; masks vote; masks that other views agree with
DRAWS = 400


def title(folder):
    """What tells a folder from others called `models`."""
    return folder.resolve().parent.name if folder.resolve().name == "models" else folder.resolve().name


def found(folder, data, threads):
    """For each part, rows (object, score, hit) of the boxes found, and (object, boxes) of the true ones."""
    models, rows, truths = Models(folder, threads), {}, {}
    for i, entry in enumerate(data.index):
        truth, parts = data.boxes[i].astype(float), entry["parts"]
        boxes = models.detect(np.asarray(data.images[i]), parts)
        boxes = boxes[np.isin(boxes[:, 4], list(data.labelled[entry["category"]]))]
        for row, flag in zip(boxes, match(boxes, truth)):
            rows.setdefault(parts[int(row[4])], []).append((entry["seed"], row[5], flag))
        for label in truth[truth[:, 6] == KEPT, 4]:
            truths.setdefault(parts[int(label)], []).append((entry["seed"], 1))
    return {p: np.array(rows.get(p, [(-1, 0, -1)]), float) for p in truths}, {p: np.array(t) for p, t in truths.items()}


def by_part(rows, truths, weight):
    """AP50 of each part, every object counted as often as `weight` says; NaN where none of a part is left."""
    table = {}
    for part, true in truths.items():
        count = sum(weight[o] for o, _ in true)
        seen = np.array([weight.get(o, 0) for o in rows[part][:, 0]], int)
        repeated = np.repeat(rows[part], seen, axis=0)
        table[part] = average_precision(repeated[:, 1], repeated[:, 2], count) if count else np.nan
    return table


def boxes(folders, data, threads):
    """Prints AP50 by part, and the mean over parts with its standard error (bootstrap over objects)."""
    results = [found(f, data, threads) for f in folders]
    objects = sorted({e["seed"] for e in data.index})
    once = dict.fromkeys(objects, 1)
    tables = [by_part(*r, once) for r in results]
    print("| part | true boxes | " + " | ".join(title(f) for f in folders) + " |\n|---|---|" + "---|" * len(folders))
    for part in sorted(tables[0]):
        print(f"| {part} | {len(results[0][1][part])} | " + " | ".join(f"{t[part]:.2f}" for t in tables) + " |")
    random, means = np.random.default_rng(0), []
    for _ in range(DRAWS):
        drawn = random.choice(objects, len(objects))
        weight = {o: int((drawn == o).sum()) for o in objects}
        means.append([np.nanmean(list(by_part(*r, weight).values())) for r in results])
    means = np.array(means)
    centre, error = [np.mean(list(t.values())) for t in tables], means.std(0)
    print("| **mean over parts** | | " + " | ".join(f"{c:.3f} ± {e:.3f}" for c, e in zip(centre, error)) + " |")
    for k in range(1, len(folders)):
        print(f"{title(folders[k])} - {title(folders[0])}: {centre[k] - centre[0]:+.3f} ± {(means[:, k] - means[:, 0]).std():.3f}")


def standard_error(values):
    return np.std(values, ddof=1) / np.sqrt(len(values))


def end_to_end(folders, args):
    """Prints mIoU and mAP50 as means over categories, and the mean of objects' mIoU with its standard error."""
    print("\n| models | method | mIoU | mAP50 | mIoU by object | from the first, by object |\n|---|---|---|---|---|---|")
    first = {}
    for folder in folders:
        out = args.out / "evaluated" / folder.resolve().as_posix().strip("/").replace("/", "-")
        command = [args.partstad, "evaluate", args.clouds, "--splits", args.split, "--models", folder, "-o", out]
        command += [word for method in METHODS for word in ("--method", method)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        results = json.loads((out / "results.json").read_text())
        for k, method in enumerate(METHODS):
            categories = results["figures"][k]["categories"].values()
            object_of = {o["object"]: 100 * o["miou"][k] for o in results["objects"]}
            values = np.array(list(object_of.values()))
            first.setdefault(method, object_of)
            gain = np.array([v - first[method][o] for o, v in object_of.items()])
            change = f"{gain.mean():+.1f} ± {standard_error(gain):.1f}" if folder != folders[0] else ""
            print(f"| {title(folder)} | {method} | {100 * np.mean([c['miou'] for c in categories]):.1f} | "
                  f"{100 * np.mean([c['map50'] for c in categories]):.1f} | {values.mean():.1f} ± {standard_error(values):.1f} | {change} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clouds", type=pathlib.Path)
    parser.add_argument("models", type=pathlib.Path, nargs="+")
    parser.add_argument("-o", "--out", type=pathlib.Path, required=True, help="folder for the views and the results")
    parser.add_argument("--split", default="val")
    parser.add_argument("--partstad", default=os.environ.get("PARTSTAD", "partstad"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--boxes-only", action="store_true")
    args = parser.parse_args()
    views = args.out / f"views-{args.split}"
    if not (views / "index.json").exists():
        subprocess.run([sys.executable, pathlib.Path(__file__).with_name("clouds.py"), args.clouds, args.split, "-o", views,
                        "--partstad", args.partstad], check=True, stdout=subprocess.DEVNULL)
    boxes(args.models, Dataset(views), args.threads)
    if not args.boxes_only:
        end_to_end(args.models, args)


if __name__ == "__main__":
    main()

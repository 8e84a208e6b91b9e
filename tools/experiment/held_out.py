#!/usr/bin/env python3
"""Agreement against the paper's network and constant weights, on clouds that the network has not learned from.

After tools/experiment/paper: its networks say what the clouds of `val` and `test` get. For those of `train`, networks are
learned without some of them at a time, as the paper does, and asked for these. Goes on where it stopped. Prints means over
categories, and differences with standard errors and 95 % intervals by bootstrap: over categories, and over objects for mIoU.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean, pstdev

AGREEMENT, PAPER, CONSTANT = "agreement", "the paper's network", "constant weights"
METHODS = {AGREEMENT: "agreement", PAPER: "partstad", CONSTANT: "no-weights"}


def run(*arguments):
    program = os.environ.get("PARTSTAD", "target/release/partstad")
    subprocess.run([program, *map(str, arguments)], check=True, stdout=sys.stderr)


def evaluate(data, splits, prepared, weights, out):
    """What each method gives, instances of the others by the paper's rule: {method: results.json}."""
    touching = out / "touching.json"
    out.mkdir(parents=True, exist_ok=True)
    touching.write_text('{"instances": {"merge": "touching"}}')
    found = {}
    for name, method in METHODS.items():
        here = out / method
        more = [] if name == AGREEMENT else ["--options", touching]
        for each in weights if name == PAPER else []:
            more += ["--weights", each]
        if not (here / "results.json").exists():
            run("evaluate", data, "--splits", splits, "--method", method, "--prepared", prepared, *more, "-o", here)
        found[name] = json.loads((here / "results.json").read_text())
    return found


def without_some(data, prepared, fold, folds, seed, out):
    """Learns without every `folds`-th training cloud of a category, and evaluates these."""
    done, weights = out / "done", out / "weights"
    if not done.exists():
        shutil.rmtree(out, ignore_errors=True)
        for sample in sorted((prepared / "train").glob("*/*.safetensors")):
            category, of_category = sample.parent, sorted(sample.parent.glob("*.safetensors"))
            held_out = of_category.index(sample) % folds == fold and len(of_category) > 1
            source = data / "train" / category.name / sample.stem if held_out else sample
            link = out / ("data" if held_out else "prepared") / "train" / category.name / source.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source.resolve())
        (out / "prepared" / "val").symlink_to((prepared / "val").resolve())
        for file in data.glob("*.json"):
            shutil.copy(file, out / "data")
        basis = ["--folds", 0, "--basis", "constant", "--seed", seed]
        run("train", out / "prepared", "--all-categories", *basis, "-o", weights)
        done.touch()
    return evaluate(out / "data", "train", prepared, [weights], out / "results")


def figures(results, key):
    """{category: (the mean over runs, its objects)}; without those in which nothing was learned."""
    runs = results["figures"]
    unlearned = set().union(*(figure["unlearned"] or [] for figure in runs))
    found = {}
    for category, first in runs[0]["categories"].items():
        values = [figure["categories"][category][key] for figure in runs]
        if category not in unlearned and None not in values:
            found[category] = (100 * fmean(values), first["objects"])
    return found


def objects(results):
    return {each["object"]: 100 * fmean(each["miou"]) for each in results["objects"] if None not in each["miou"]}


def interval(differences):
    generator = random.Random(0)
    means = sorted(fmean(generator.choices(differences, k=len(differences))) for _ in range(10_000))
    return f"{fmean(differences):+.1f} ± {pstdev(means):.1f} ({means[250]:.1f} to {means[9749]:.1f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="labelled clouds in the layout of PartNet-Ensembled")
    parser.add_argument("out", type=Path, help="folder that tools/experiment/paper wrote")
    parser.add_argument("--folds", type=int, default=8, help="in how many groups to hold training clouds out")
    parser.add_argument("--seed", type=int, default=0, help="of what is learned without some")
    arguments = parser.parse_args()
    prepared, out = arguments.out / "prepared", arguments.out / "held-out"
    measured = [evaluate(arguments.data, "val,test", prepared, sorted(arguments.out.glob("seed-*")), out / "val,test")]
    for fold in range(arguments.folds):
        here = out / f"{fold}-of-{arguments.folds}-seed-{arguments.seed}"
        measured.append(without_some(arguments.data, prepared, fold, arguments.folds, arguments.seed, here))

    for key, name in (("miou", "mIoU"), ("map50", "mAP50")):
        of_category = defaultdict(list)
        for results in measured:
            found = {method: figures(results[method], key) for method in METHODS}
            for category, (value, count) in found[AGREEMENT].items():
                # Where nothing was learned, the paper's network is constant weights.
                constant = found[CONSTANT][category][0]
                learned = found[PAPER].get(category, (constant, count))[0]
                of_category[category].append((count, value, learned, constant))
        rows = []
        for each in of_category.values():
            objects_of = sum(row[0] for row in each)
            rows.append([sum(row[0] * row[i] for row in each) / objects_of for i in (1, 2, 3)])
        means = ", ".join(f"{method} {fmean(row[i] for row in rows):.1f}" for i, method in enumerate(METHODS))
        print(f"{name}, {len(rows)} categories: {means}")
        for i, method in ((1, PAPER), (2, CONSTANT)):
            print(f"  over {method}: {interval([row[0] - row[i] for row in rows])}")

    for split in ("train", "val", "test", ""):
        differences = defaultdict(list)
        for results in measured:
            unlearned = set().union(*(figure["unlearned"] or [] for figure in results[PAPER]["figures"]))
            found = {method: objects(results[method]) for method in METHODS}
            for name, value in found[AGREEMENT].items():
                if name.startswith(split):
                    constant = found[CONSTANT][name]
                    learned = constant if name.split("/")[1] in unlearned else found[PAPER][name]
                    differences[PAPER].append(value - learned)
                    differences[CONSTANT].append(value - constant)
        for method, values in differences.items():
            print(f"mIoU by object over {method}, {len(values)} clouds {split}: {interval(values)}")


if __name__ == "__main__":
    main()

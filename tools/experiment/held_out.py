#!/usr/bin/env python3
"""Agreement against the paper's network and constant weights, on clouds that the network has not learned from.

Comes after tools/experiment/paper DATA MODELS OUT, from the repository's root. The networks of that run are measured on the
clouds of `val` and `test`. For the clouds of `train` others are learned, each without some of them, and measured on these.
Goes on where it stopped. Prints means over categories, and differences with standard errors and 95 % intervals by bootstrap:
over categories, and over objects for mIoU. PARTSTAD names the program, if it is not target/release/partstad.
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
PROGRAM = os.environ.get("PARTSTAD", "target/release/partstad")


def run(*arguments):
    try:
        subprocess.run([PROGRAM, *map(str, arguments)], check=True, stdout=sys.stderr)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd))}: ended with {error.returncode}")


def evaluate(data, models, splits, prepared, weights, out):
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
        results = here / "results.json"
        used = [file for each in weights for file in each.glob("*.safetensors")]
        if not results.exists() or any(file.stat().st_mtime > results.stat().st_mtime for file in used):
            where = ["--models", models, "--prepared", prepared]
            run("evaluate", data, "--splits", splits, "--method", method, *where, *more, "-o", here)
        found[name] = json.loads(results.read_text())
        if found[name]["failures"]:
            sys.exit(f"{results}: not all clouds were measured: {found[name]['failures']}; delete it to try again")
    return found


def without_some(data, models, prepared, fold, folds, seed, out):
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
    return evaluate(out / "data", models, "train", prepared, [weights], out / "results")


def unlearned(results):
    """The categories in which nothing was learned."""
    return set().union(*(figure["unlearned"] or [] for figure in results["figures"]))


def figures(results, key):
    """{category: (the mean over runs, its objects)}; without those in which nothing was learned."""
    runs, left_out, found = results["figures"], unlearned(results), {}
    for category, first in runs[0]["categories"].items():
        values = [figure["categories"][category][key] for figure in runs]
        if category not in left_out and None not in values:
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
    parser.add_argument("data", type=Path, help="labelled clouds, as tools/experiment/paper got them")
    parser.add_argument("models", type=Path, help="folder of models, as it got it")
    parser.add_argument("out", type=Path, help="folder that it wrote")
    parser.add_argument("--folds", type=int, default=8, help="groups of training clouds to hold out in turn (8)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the networks learned without some clouds (0)")
    arguments = parser.parse_args()
    data, models, folds = arguments.data, arguments.models, arguments.folds
    prepared, out = arguments.out / "prepared", arguments.out / "held-out"
    for path in (data / "train", models / "manifest.json", prepared / "train", prepared / "val", Path(PROGRAM)):
        if not path.exists():
            sys.exit(f"{path} is not there; see --help")
    if folds < 2:
        sys.exit(f"--folds is {folds}; it must be 2 or more")
    learned = sorted(arguments.out.glob("seed-*"))
    measured = [evaluate(data, models, "val,test", prepared, learned, out / "val,test")]
    # No fold is empty.
    folds = min(folds, max(len(list(category.glob("*.safetensors"))) for category in (prepared / "train").iterdir()))
    for fold in range(folds):
        here = out / f"{fold}-of-{folds}-seed-{arguments.seed}"
        measured.append(without_some(data, models, prepared, fold, folds, arguments.seed, here))

    for key, name in (("miou", "mIoU"), ("map50", "mAP50")):
        of_category = defaultdict(list)
        for results in measured:
            found = {method: figures(results[method], key) for method in METHODS}
            for category, (value, count) in found[AGREEMENT].items():
                # Where nothing was learned, the paper's network is constant weights.
                constant = found[CONSTANT][category][0]
                learned = found[PAPER].get(category, (constant, count))[0]
                of_category[category].append((count, value, learned, constant))
        if not of_category:
            print(f"{name}: not measured, as nothing has labels for it")
            continue
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
            left_out = unlearned(results[PAPER])
            found = {method: objects(results[method]) for method in METHODS}
            for name, value in found[AGREEMENT].items():
                if name.startswith(split):
                    constant = found[CONSTANT][name]
                    learned = constant if name.split("/")[1] in left_out else found[PAPER][name]
                    differences[PAPER].append(value - learned)
                    differences[CONSTANT].append(value - constant)
        for method, values in differences.items():
            print(f"mIoU by object over {method}, {len(values)} clouds of {split or 'all'}: {interval(values)}")


if __name__ == "__main__":
    main()

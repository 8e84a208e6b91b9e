"""Seconds of every stage, and the models' share of them, from files run.json.

A stage ends when it has asked for its kernels; those count for whoever waits for them, which may be the models.
"""

import json
import pathlib
import sys

for file in map(pathlib.Path, sys.argv[1:]):
    run = json.loads(file.read_text())
    seconds = run["seconds"]
    models = seconds["boxes"] + seconds["masks"]
    stages = ", ".join(f"{stage} {value:.3f}" for stage, value in seconds.items())
    print(f"{run['cloud']}: {run['boxes']} boxes; models {models:.3f} s, {100 * models / sum(seconds.values()):.0f} % of all; {stages}")

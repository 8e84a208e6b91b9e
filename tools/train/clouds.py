"""Turns a split of labelled clouds in PartNet-Ensembled's layout (DATA/PartNetE_meta.json, DATA/<split>/<Category>/<id>/
{pc.ply, label.npy}) into the format of `procedural dataset`, to measure models on them or to adapt models to them.

    python clouds.py DATA SPLIT -o OUT [--more N] [--partstad PATH]      the ten views of `partstad render`, and N at random
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np
from PIL import Image

SIZE = 800


def render(partstad, cloud, poses=None, options=()):
    """Images u8 [views, SIZE, SIZE, 3] from `poses`, or the usual ten, and the point that each pixel shows, -1 for none."""
    with tempfile.TemporaryDirectory() as out:
        command = [partstad, "render", cloud, "-o", out, *options]
        if poses is not None:
            file = pathlib.Path(out) / "poses.json"
            file.write_text(json.dumps({"poses": poses}))
            command += ["--views", file]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        owners = np.load(pathlib.Path(out) / "pixel_to_point.npy")
        return np.stack([np.asarray(Image.open(pathlib.Path(out) / f"{k}.png").convert("RGB")) for k in range(len(owners))]), owners


def pose(random):
    """Any direction from which objects are seen, from nearer or farther than usual."""
    return {"elevation": random.uniform(-35, 60), "azimuth": random.uniform(0, 360), "distance": random.uniform(1.9, 2.6)}


def instances_of(semantic, instance):
    """A byte for each point, 255 = no part's, and the labels of the instances 1, 2, ... that it numbers."""
    known = [k for k in np.unique(instance[semantic >= 0]) if k >= 0][:254]
    code = np.full(len(semantic), 255, np.uint8)
    for position, k in enumerate(known):
        code[instance == k] = position + 1
    return code, [int(semantic[instance == k][0]) for k in known]


def map_of(owners, code):
    """The instance that each pixel shows, 0 = background."""
    return np.where(owners >= 0, code[owners], 0).astype(np.uint8)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("split")
    parser.add_argument("-o", "--out", type=pathlib.Path, required=True)
    parser.add_argument("--more", type=int, default=0, help="views of each cloud from random directions, besides the ten")
    parser.add_argument("--partstad", default="partstad")
    args = parser.parse_args()
    parts = json.loads((args.data / "PartNetE_meta.json").read_text())
    objects, random = sorted((args.data / args.split).glob("*/*")), np.random.default_rng(0)
    args.out.mkdir(parents=True, exist_ok=True)
    shape = (len(objects) * (10 + args.more), SIZE, SIZE)
    images = np.lib.format.open_memmap(args.out / "images.npy", "w+", np.uint8, (*shape, 3))
    instances = np.lib.format.open_memmap(args.out / "instances.npy", "w+", np.uint8, shape)
    index = []
    for folder in objects:
        label = np.load(folder / "label.npy", allow_pickle=True).item()
        code, labels = instances_of(label["semantic_seg"], label["instance_seg"])
        views = [render(args.partstad, folder / "pc.ply")]
        if args.more:
            views.append(render(args.partstad, folder / "pc.ply", [pose(random) for _ in range(args.more)]))
        for image, owner in (view for some in views for view in zip(*some)):
            images[len(index)] = image
            instances[len(index)] = map_of(owner, code)
            index.append({"category": folder.parent.name, "seed": int(folder.name), "parts": parts[folder.parent.name],
                          "instances": [{"label": label} for label in labels]})
    (args.out / "index.json").write_text(json.dumps(index))
    print(f"{len(objects)} clouds, {len(index)} images")


if __name__ == "__main__":
    main()

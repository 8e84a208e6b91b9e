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

SIZE = 800


def render(partstad, cloud, poses):
    """The point that each pixel shows, [views, SIZE, SIZE], from `poses`, or the usual ten if None."""
    with tempfile.TemporaryDirectory() as out:
        command = [partstad, "render", cloud, "-o", out]
        if poses is not None:
            file = pathlib.Path(out) / "poses.json"
            file.write_text(json.dumps({"poses": poses}))
            command += ["--views", file]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return np.load(pathlib.Path(out) / "pixel_to_point.npy")


def pose(random):
    """Any direction from which objects are seen, from nearer or farther than usual."""
    return {"elevation": random.uniform(-35, 60), "azimuth": random.uniform(0, 360), "distance": random.uniform(1.9, 2.6)}


def colours(path):
    """u8 [N, 3] of a binary little-endian PLY with x y z float and red green blue uchar."""
    content = path.read_bytes()
    header = content.index(b"end_header\n") + 11
    return np.frombuffer(content[header:], np.dtype([("position", "<f4", 3), ("colour", "u1", 3)]))["colour"]


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
        semantic, instance = label["semantic_seg"], label["instance_seg"]
        known = [k for k in np.unique(instance[semantic >= 0]) if k >= 0][:254]
        code = np.full(len(semantic), 255, np.uint8)
        for position, k in enumerate(known):
            code[instance == k] = position + 1
        colour = (colours(folder / "pc.ply") / 255 * 0.99999 * 255).astype(np.uint8)
        owners = render(args.partstad, folder / "pc.ply", None)
        if args.more:
            more = render(args.partstad, folder / "pc.ply", [pose(random) for _ in range(args.more)])
            owners = np.concatenate([owners, more])
        for owner in owners:
            seen = owner >= 0
            images[len(index)] = np.where(seen[..., None], colour[owner], 254)
            instances[len(index)] = np.where(seen, code[owner], 0)
            index.append({"category": folder.parent.name, "seed": int(folder.name), "parts": parts[folder.parent.name],
                          "instances": [{"label": int(semantic[instance == k][0])} for k in known]})
    (args.out / "index.json").write_text(json.dumps(index))
    print(f"{len(objects)} clouds, {len(index)} images")


if __name__ == "__main__":
    main()

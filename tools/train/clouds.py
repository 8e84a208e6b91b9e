"""Turns labelled clouds (FOLDER/<Category>/<id>/{pc.ply, label.npy}, PartNet-Ensembled's layout) into the format of
`procedural dataset`, so that evaluate.py can measure transfer to them. The ten views are those of `partstad render`.

    python clouds.py FOLDER HELD_OUT -o OUT [--partstad PATH]      part names come from HELD_OUT/index.json
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np

SIZE, VIEWS = 800, 10


def colours(path):
    """u8 [N, 3] of a binary little-endian PLY with x y z float and red green blue uchar."""
    content = path.read_bytes()
    header = content.index(b"end_header\n") + 11
    return np.frombuffer(content[header:], np.dtype([("position", "<f4", 3), ("colour", "u1", 3)]))["colour"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("named", type=pathlib.Path)
    parser.add_argument("-o", "--out", type=pathlib.Path, required=True)
    parser.add_argument("--partstad", default="partstad")
    args = parser.parse_args()
    parts = {e["category"]: e["parts"] for e in json.loads((args.named / "index.json").read_text())}
    objects = [d for d in sorted(args.folder.glob("*/*")) if d.parent.name in parts]
    args.out.mkdir(parents=True, exist_ok=True)
    shape = (len(objects) * VIEWS, SIZE, SIZE)
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
        with tempfile.TemporaryDirectory() as views:
            subprocess.run([args.partstad, "render", folder / "pc.ply", "-o", views], check=True, stdout=subprocess.DEVNULL)
            owners = np.load(pathlib.Path(views) / "pixel_to_point.npy")
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

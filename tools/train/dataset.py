"""Images and part boxes made by `procedural dataset`: DIR/images.npy, DIR/instances.npy, DIR/index.json."""

import json
import math
import pathlib

import numpy as np
import torch
from scipy import ndimage

from augment import augment
from vocabulary import OTHER_WORDS, PART_NAMES, SYNONYMS

SIZE = 800
BACKGROUND = 254
SMALLEST = 6  # pixels; a box with both sides shorter is not asked for
IGNORED, KEPT = 1, 0


def solid(mask):
    """The dense pixels of an instance's mask with the holes between point splats closed: single points seen through
    gaps of a nearer surface are dropped. None if nothing is left."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return None
    pad = 6
    top, left = rows[0], columns[0]
    crop = np.pad(mask[top:rows[-1] + 1, left:columns[-1] + 1], pad)
    density = ndimage.uniform_filter(crop.astype(np.float32), 9)
    kept = ndimage.binary_closing(crop, np.ones((5, 5), bool)) & (density > 0.4)
    groups, count = ndimage.label(kept, np.ones((3, 3), bool))
    if count == 0:
        return None
    sizes = ndimage.sum_labels(crop, groups, np.arange(1, count + 1))
    large = np.flatnonzero((sizes >= 0.06 * sizes.max()) & (sizes >= 12)) + 1
    if len(large) == 0:
        return None
    kept = np.isin(groups, large)
    return kept, top - pad, left - pad


def boxes_of(instances, labels):
    """Rows (x1, y1, x2, y2, label, instance, flag) of one instance map; corners are inclusive pixel positions."""
    rows = []
    for k, label in enumerate(labels):
        mask = instances == k + 1
        total = mask.sum()
        if total < 12:
            continue
        found = solid(mask)
        if found is None:
            rows.append((*box_of(mask), label, k, IGNORED))
            continue
        kept, top, left = found
        x1, y1, x2, y2 = box_of(kept)
        box = np.clip([x1 + left, y1 + top, x2 + left, y2 + top], 0, np.array(instances.shape * 2)[[1, 0, 3, 2]] - 1)
        small = max(box[2] - box[0], box[3] - box[1]) + 1 < SMALLEST
        scattered = mask[box[1]:box[3] + 1, box[0]:box[2] + 1].sum() < 0.5 * total
        rows.append((*box, label, k, IGNORED if small or scattered else KEPT))
    return np.array(rows, np.int32).reshape(-1, 7)


def box_of(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return columns[0], rows[0], columns[-1], rows[-1]


class Dataset:
    """Memory-mapped images with the boxes of their visible instances, computed once and kept in DIR/boxes.npz."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.images = np.load(folder / "images.npy", mmap_mode="r")
        self.instances = np.load(folder / "instances.npy", mmap_mode="r")
        self.index = json.loads((folder / "index.json").read_text())
        cache = folder / "boxes.npz"
        if not cache.exists():
            found = [boxes_of(np.asarray(m), [i["label"] for i in e["instances"]])
                     for m, e in zip(self.instances, self.index)]
            extent = np.array([box_of(m > 0) if m.any() else (0, 0, SIZE - 1, SIZE - 1) for m in self.instances])
            np.savez(cache, boxes=np.concatenate(found), image=np.repeat(np.arange(len(found)), [len(f) for f in found]),
                     extent=extent)
        stored = np.load(cache)
        edges = np.searchsorted(stored["image"], np.arange(len(self) + 1))
        rows = stored["boxes"]
        self.boxes = [rows[a:b] for a, b in zip(edges[:-1], edges[1:])]
        self.extent = stored["extent"]
        # Real clouds lack some labels altogether: what was never labelled is not asked for.
        self.labelled = {}
        for entry in self.index:
            self.labelled.setdefault(entry["category"], set()).update(i["label"] for i in entry["instances"])
        self.weights = weights([{entry["parts"][row[4]] for row in rows if row[6] == KEPT}
                                for entry, rows in zip(self.index, self.boxes)])

    def __len__(self):
        return len(self.index)

    def crop(self, i, size, random):
        """A random window of `size` pixels that shows the whole object if it can: image u8 [3, size, size] RGB,
        instances u8 [size, size], rows of boxes_of moved to the window; boxes mostly cut off are flagged IGNORED."""
        x1, y1, x2, y2 = self.extent[i]
        left, top = (start(a, b, size, random) for a, b in ((x1, x2), (y1, y2)))
        window = np.s_[top:top + size, left:left + size]
        image = np.asarray(self.images[i][window])
        instances = np.asarray(self.instances[i][window])
        rows = self.boxes[i].copy()
        whole = (rows[:, 2] - rows[:, 0] + 1) * (rows[:, 3] - rows[:, 1] + 1)
        rows[:, [0, 2]] = np.clip(rows[:, [0, 2]] - left, 0, size - 1)
        rows[:, [1, 3]] = np.clip(rows[:, [1, 3]] - top, 0, size - 1)
        rest = (rows[:, 2] - rows[:, 0] + 1) * (rows[:, 3] - rows[:, 1] + 1)
        rows[rest < 0.6 * whole, 6] = IGNORED
        rows = rows[rest > 0.02 * whole]
        if random.random() < 0.5:
            image, instances = image[:, ::-1], instances[:, ::-1]
            rows[:, [0, 2]] = size - 1 - rows[:, [2, 0]]
        return np.ascontiguousarray(image.transpose(2, 0, 1)), np.ascontiguousarray(instances), rows


def weights(shown):
    """How often each image comes, from the names of the parts it shows: rare parts come more often, by the root of how
    much rarer than a tenth of the images they are (Gupta et al. 2019), up to 4 times; what shows none, half as often."""
    names, counts = np.unique([name for image in shown for name in image], return_counts=True)
    rate = dict(zip(names, np.clip(np.sqrt(0.1 * len(shown) / counts), 1, 4)))
    return np.array([max((rate[name] for name in image), default=0.5) for image in shown])


def start(low, high, size, random):
    """First pixel of a window that covers low..high if it fits, or lies within it, inside the image."""
    a, b = sorted((int(high) - size + 1, int(low)))
    return int(random.integers(max(0, min(a, SIZE - size)), min(SIZE - size, max(b, 0)) + 1))


def prompt(parts, labelled, random):
    """A training prompt: names, and for each the index into `parts` or -1 (a name of nothing in the picture)."""
    kept = [j for j in sorted(labelled) if random.random() < 0.85] or sorted(labelled)
    if random.random() < 0.05:
        kept = []
    chosen = [(parts[j] if random.random() > 0.1 else str(random.choice(SYNONYMS.get(parts[j], [parts[j] + "s"]))), j)
              for j in kept]
    absent = [n for n in PART_NAMES if n not in parts]
    extra = int(random.integers(1, 5)) if random.random() < 0.5 or not kept else 0
    for _ in range(extra):
        name = random.choice(absent) if random.random() < 0.7 else random.choice(OTHER_WORDS)
        chosen.append((str(name), -1))
    if random.random() < 0.5:
        random.shuffle(chosen)
    return [c[0] for c in chosen], [c[1] for c in chosen]


def normalise(images, mean, std):
    """u8 [N, 3, H, W] to float, channel by channel."""
    mean, std = (torch.tensor(v, device=images.device).reshape(1, 3, 1, 1) for v in (mean, std))
    return (images.float() - mean) / std


# Window side and images per batch: every batch shows about the same number of pixels.
WINDOWS = ((384, 10), (512, 6), (640, 4), (768, 3))
SMALLER = 0.3  # share of images shown in a window one size too small for the whole object


def draw(data, random, share):
    """The window's side and the images of a share of one batch. Each image comes as often as its weight says, in the
    smallest window that shows its whole object, so that little time goes to white background."""
    extent = data.extent
    side = np.maximum(extent[:, 2] - extent[:, 0], extent[:, 3] - extent[:, 1]) + 24
    window = np.searchsorted([s for s, _ in WINDOWS[:-1]], side)
    window = np.maximum(window - (random.random(len(data)) < SMALLER), 0)
    rates = np.bincount(window, data.weights, minlength=len(WINDOWS)) / [count for _, count in WINDOWS]
    w = random.choice(len(WINDOWS), p=rates / rates.sum())
    size, count = WINDOWS[w]
    chosen = data.weights * (window == w)
    return size, random.choice(len(data), math.ceil(count * share), p=chosen / chosen.sum())


def detector_batch(data, tokenizer, random, share=1.0):
    """images u8 [N, 3, S, S] RGB, input_ids and attention_mask [N, L], items for `losses.detector_loss`."""
    size, chosen = draw(data, random, share)
    count = len(chosen)
    images, captions, items = [], [], []
    for i in chosen:
        image, instances, rows = data.crop(i, size, random)
        augment(image, instances, random)
        names, part = prompt(data.index[i]["parts"], data.labelled[data.index[i]["category"]], random)
        images.append(image)
        captions.append(tokenizer.caption(names))
        items.append((instances, rows, part, [e["label"] for e in data.index[i]["instances"]]))
    length = max(len(ids) for ids, _ in captions)
    input_ids = torch.zeros(count, length, dtype=torch.int64)
    batch = []
    for n, ((ids, spans), (instances, rows, part, labels)) in enumerate(zip(captions, items)):
        input_ids[n, :len(ids)] = torch.tensor(ids)
        of_label = torch.zeros(256, length)  # tokens that name a label; rows of labels not in the prompt stay 0
        for (first, last), label in zip(spans, part):
            if label >= 0:
                of_label[label, first:last] = 1
        named = torch.zeros(length)
        for first, last in spans:
            named[first:last] = 1
        rows = rows[of_label[rows[:, 4]].any(1).numpy()]
        kept = rows[:, 6] == KEPT
        boxes, ignored = (torch.from_numpy(rows[m, :4].astype(np.float32)) for m in (kept, ~kept))
        cells = torch.from_numpy(instances[4::8, 4::8].astype(np.int64)).flatten()
        of_code = torch.zeros(256, length)
        of_code[1:len(labels) + 1] = of_label[torch.tensor(labels, dtype=torch.int64)]
        batch.append({"boxes": boxes, "tokens": of_label[rows[kept, 4]], "ignored": ignored,
                      "ignored_tokens": of_label[rows[~kept, 4]], "named": named, "cells": of_code[cells],
                      "covered": (cells > 0).float() + 0.1})
    return torch.from_numpy(np.stack(images)), input_ids, (input_ids != 0).long(), batch


def segmenter_batch(data, random, share=1.0, boxes_per_image=10):
    """images u8 [N, 3, S, S] RGB, boxes [B, 4] (jittered), image_index [B], instances u8 [N, S, S], codes [B]."""
    size, chosen = draw(data, random, share)
    images, maps, boxes, image_index, codes = [], [], [], [], []
    for i in chosen:
        image, instances, rows = data.crop(i, size, random)
        rows = rows[rows[:, 6] == KEPT]
        if len(rows) == 0:
            continue
        # Rare labels get as many boxes as frequent ones.
        share = 1 / np.bincount(rows[:, 4])[rows[:, 4]]
        picked = rows[random.choice(len(rows), min(boxes_per_image, len(rows)), replace=False, p=share / share.sum())]
        box = picked[:, :4].astype(np.float32)
        extent = np.tile(box[:, 2:] - box[:, :2] + 1, 2)
        spread = random.choice([0.02, 0.06, 0.12], size=(len(box), 1))
        box += np.clip(random.normal(size=box.shape), -2, 2).astype(np.float32) * spread * extent + random.normal(size=box.shape)
        box[:, 2:] = np.maximum(box[:, 2:], box[:, :2] + 2)
        boxes.append(np.clip(box, 0, size - 1))
        image_index += [len(images)] * len(box)
        codes.append(picked[:, 5] + 1)
        images.append(image)
        maps.append(instances)
    return (torch.from_numpy(np.stack(images)), torch.from_numpy(np.concatenate(boxes).astype(np.float32)),
            torch.tensor(image_index), torch.from_numpy(np.stack(maps)), torch.from_numpy(np.concatenate(codes)))


def point_batch(data, random, share=1.0, points_per_image=12):
    """images u8 [N, 3, S, S] RGB, points [P, 2] (x, y), image_index [P], instances u8 [N, S, S], codes [P]: a third of
    the points on instances of rare labels as often as on others, a third on any pixels of the object, the rest anywhere."""
    size, chosen = draw(data, random, share)
    images, maps, points, image_index, codes = [], [], [], [], []
    for n, i in enumerate(chosen):
        image, instances, rows = data.crop(i, size, random)
        augment(image, instances, random)
        rows = rows[rows[:, 6] == KEPT]
        places = [np.flatnonzero(instances)] * (points_per_image // 3) + [np.arange(size * size)] * (points_per_image // 3)
        if len(rows):
            rare = 1 / np.bincount(rows[:, 4])[rows[:, 4]]
            picked = random.choice(rows[:, 5], points_per_image - len(places), p=rare / rare.sum())
            places += [np.flatnonzero(instances == code + 1) for code in picked]
        at = np.array([random.choice(place) for place in places if len(place)])
        points.append(np.stack([at % size, at // size], 1))
        image_index += [n] * len(at)
        codes.append(instances.reshape(-1)[at])
        images.append(image)
        maps.append(instances)
    return (torch.from_numpy(np.stack(images)), torch.from_numpy(np.concatenate(points).astype(np.float32)),
            torch.tensor(image_index), torch.from_numpy(np.stack(maps)), torch.from_numpy(np.concatenate(codes)))

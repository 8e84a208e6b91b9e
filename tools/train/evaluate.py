"""Measures exported models on images in the format of `procedural dataset`.

    python evaluate.py MODELS DATA [--json FILE]         detection and masks, by part, beside chance and trivial baselines
    python evaluate.py MODELS DATA --calibrate           last line: the logit shift for export.py that makes 0.5 the best threshold
    python evaluate.py MODELS DATA --others              the same images, asked for names of parts that are not there
"""

import argparse
import json
import math
import pathlib

import numpy as np
import onnxruntime

from dataset import KEPT, SIZE, Dataset
from vocabulary import PART_NAMES, Tokenizer


def sigmoid(x):
    return 1 / (1 + np.exp(-np.clip(x, -50, 50)))


class Models:
    """The four ONNX files with GLIP's post-processing, in NumPy."""

    def __init__(self, folder, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.manifest = json.loads((folder / "manifest.json").read_text())
        self.tokenizer = Tokenizer((folder / "vocab.txt").read_text().split("\n")[:-1])
        self.session = {n: onnxruntime.InferenceSession(folder / f"{n}.onnx", options, providers=["CPUExecutionProvider"])
                        for n in ("text_encoder", "grounding_detector", "sam_encoder", "sam_decoder")}
        self.prompts = {}

    def prompt(self, names):
        if names not in self.prompts:
            ids, spans = self.tokenizer.caption(names)
            ids = np.array([ids])
            hidden = self.session["text_encoder"].run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
            self.prompts[names] = hidden, np.ones_like(ids), spans
        return self.prompts[names]

    def image(self, image, kind):
        spec = self.manifest[kind]["image"]
        x = image[..., ::-1] if spec["order"] == "bgr" else image
        return ((x - np.array(spec["mean"])) / np.array(spec["std"])).transpose(2, 0, 1)[None].astype(np.float32)

    def detect(self, image, names):
        """`detections` of one image."""
        hidden, mask, spans = self.prompt(tuple(names))
        outputs = self.session["grounding_detector"].run(
            ["token_logits", "box_regression", "centerness"],
            {"image": self.image(image, "detector"), "text_hidden": hidden, "text_mask": mask})
        return detections(self.manifest["detector"], [output[0] for output in outputs], spans, (SIZE, SIZE))

    def masks(self, image, boxes):
        """bool [B, 256, 256]."""
        if len(boxes) == 0:
            return np.zeros((0, 256, 256), bool)
        embedding = self.session["sam_encoder"].run(None, {"image": self.image(image, "segmenter")})[0]
        logits = self.session["sam_decoder"].run(["low_res_logits"], {
            "image_embeddings": embedding, "boxes": boxes.astype(np.float32), "image_index": np.zeros(len(boxes), np.int64)})[0]
        return logits[:, 0] > 0


def detections(rules, outputs, spans, size, lowest=0.05):
    """Rows (x1, y1, x2, y2, label, score, probability, quality) of the outputs for one image of `size` (height, width) by the
    `rules` of the manifest, strongest first."""
    logits, regression, centerness = outputs
    anchor = []  # centre x, y, size
    for stride, side in zip(rules["strides"], rules["anchor_sizes"]):
        y, x = np.mgrid[:math.ceil(size[0] / stride), :math.ceil(size[1] / stride)]
        anchor.append(np.stack([x, y, np.full(x.shape, side / stride)], -1).reshape(-1, 3) * stride + np.array([1, 1, 0]) * (stride - 1) / 2)
    p = np.stack([sigmoid(logits[:, a:b]).mean(1) for a, b in spans], 1)
    quality = sigmoid(centerness)
    score = np.sqrt(p * quality[:, None])
    at, label = np.nonzero((p > lowest) & (score > lowest))
    x, y, side = np.concatenate(anchor)[at].T
    dx, dy, dw, dh = regression[at].T
    w, h = (np.exp(np.minimum(d / 5, math.log(1000 / 16))) * side - 1 for d in (dw, dh))
    x, y = x + dx / 10 * side, y + dy / 10 * side
    box = np.clip(np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1), 0, np.array([size[1], size[0]] * 2) - 1)
    rows = np.column_stack([box, label, score[at, label], p[at, label], quality[at]])
    return suppress(rows[np.argsort(-rows[:, 5], kind="stable")[:1000]], rules["nms"])


def iou(a, b):
    """IoU matrix of boxes with inclusive corners."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    inter = np.clip(high - low + 1, 0, None).prod(-1)
    area = [(x[:, 2] - x[:, 0] + 1) * (x[:, 3] - x[:, 1] + 1) for x in (a, b)]
    return inter / np.maximum(area[0][:, None] + area[1] - inter, 1e-9)


def suppress(rows, limit, most=100):
    """Greedy suppression within each label of rows sorted by score."""
    kept = []
    for label in np.unique(rows[:, 4]):
        index = np.flatnonzero(rows[:, 4] == label)
        overlap = iou(rows[index], rows[index])
        alive = np.ones(len(index), bool)
        for i in range(len(index)):
            if alive[i]:
                kept.append(index[i])
                alive[i + 1:] &= overlap[i, i + 1:] <= limit
    return rows[sorted(kept)[:most]]


def match(found, truth, limit=0.5):
    """Flags of `found` rows (sorted by score): 1 hit, 0 false, -1 not counted; at IoU `limit` within each label."""
    flags = np.zeros(len(found), int)
    if len(truth) == 0 or len(found) == 0:
        return flags
    overlap = iou(found, truth) * (found[:, 4:5] == truth[None, :, 4])
    taken = np.zeros(len(truth), bool)
    for i in range(len(found)):
        open_ = np.where(taken | (truth[:, 6] != KEPT), 0, overlap[i])
        j = int(open_.argmax())
        if open_[j] >= limit:
            taken[j], flags[i] = True, 1
        elif overlap[i, truth[:, 6] != KEPT].max(initial=0) >= 0.3:
            flags[i] = -1
    return flags


def average_precision(scores, flags, count):
    order = np.argsort(-scores, kind="stable")
    hits = flags[order]
    hits = hits[hits >= 0]
    recall, precision = np.cumsum(hits) / count, np.cumsum(hits) / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def summarise(results, threshold):
    """Recall, precision at `threshold` and AP50 of (name, score, flag) rows against counts by name."""
    counts, rows = {}, {}
    for found, names, truth in results:
        for name, n in truth.items():
            counts[name] = counts.get(name, 0) + n
        for row in found:
            rows.setdefault(names[int(row[0])], []).append(row[1:])
    table = {}
    for name in sorted(counts):
        r = np.array(rows.get(name, np.zeros((0, 2)))).reshape(-1, 2)
        above = r[r[:, 0] > threshold]
        table[name] = {"boxes": counts[name], "recall": float((above[:, 1] == 1).sum() / counts[name]),
                       "precision": float((above[:, 1] == 1).sum() / max((above[:, 1] >= 0).sum(), 1)),
                       "ap50": average_precision(r[:, 0], r[:, 1], counts[name])}
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--limit", type=int, default=0, help="images, evenly spread; 0 for all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--nms", type=float, help="instead of the manifest's")
    parser.add_argument("--others", action="store_true", help="ask for names of parts that the object does not have")
    parser.add_argument("--by-category", action="store_true")
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    data, models, random = Dataset(args.data), Models(args.models, args.threads), np.random.default_rng(0)
    chosen = np.arange(len(data)) if not args.limit else np.linspace(0, len(data) - 1, args.limit).astype(int)
    if args.nms:
        models.manifest["detector"]["nms"] = args.nms
    detections, chances, masks, candidates, strong = [], [], {}, [], 0
    of_category, known = {}, {}
    for i in chosen:
        of_category.setdefault(data.index[i]["category"], []).append(i)
        known.setdefault(data.index[i]["category"], set()).update(data.boxes[i][:, 4])
    for i in chosen:
        entry, truth = data.index[i], data.boxes[i].astype(float)
        parts, image = entry["parts"], np.asarray(data.images[i])
        asked = parts
        if args.others:
            asked = [str(n) for n in random.choice([n for n in PART_NAMES if n not in parts], len(parts), replace=False)]
        found = models.detect(image, asked)
        # Real clouds lack some labels altogether: what was never labelled cannot be false.
        found = found[np.isin(found[:, 4], list(known[entry["category"]]))]
        strong += int((found[:, 5] > args.threshold).sum())

        def label(j):
            return f"{entry['category']} {parts[j]}" if args.by_category else parts[j]
        names = [label(j) for j in range(len(parts))]
        counts = {}
        for row in truth[truth[:, 6] == KEPT]:
            counts[names[int(row[4])]] = counts.get(names[int(row[4])], 0) + 1
        flags = match(found, truth)
        detections.append((np.column_stack([found[:, 4:6], flags]), names, counts))
        candidates.append((found[:, 6:8], flags, sum(counts.values())))
        # Chance: the true boxes of an image of another shape of the category.
        others = [k for k in of_category[entry["category"]] if data.index[k]["seed"] != entry["seed"]]
        other = (data.boxes[random.choice(others)] if others else np.zeros((0, 7))).astype(float)
        other = other[other[:, 6] == KEPT]
        random.shuffle(other)
        chances.append((np.column_stack([other[:, 4], np.linspace(1, 0.6, len(other)), match(other, truth)]), names, counts))
        if args.calibrate:
            continue
        kept = truth[truth[:, 6] == KEPT]
        extent = np.tile(kept[:, 2:4] - kept[:, :2] + 1, 2)
        boxes = np.clip(kept[:, :4] + random.normal(size=(len(kept), 4)) * 0.05 * extent, 0, SIZE - 1)
        instances = np.asarray(data.instances[i])
        centre = ((np.arange(SIZE) + 0.5) * 256 / SIZE).astype(int)
        for row, box, mask in zip(kept, boxes, models.masks(image, boxes)):
            mine = instances == int(row[5]) + 1
            seen = mask[centre][:, centre] & (instances > 0)
            trivial = np.zeros_like(mine)
            x1, y1, x2, y2 = np.round(box).astype(int)
            trivial[y1:y2 + 1, x1:x2 + 1] = instances[y1:y2 + 1, x1:x2 + 1] > 0
            masks.setdefault(names[int(row[4])], []).append([(m & mine).sum() / max((m | mine).sum(), 1) for m in (seen, trivial)])
    if args.calibrate:
        calibrate(candidates)
        return
    table, chance = summarise(detections, args.threshold), summarise(chances, args.threshold)
    for name, row in table.items():
        model, trivial = np.mean(masks[name], 0)
        row |= {"chance_ap50": chance[name]["ap50"], "mask_iou": float(model), "trivial_iou": float(trivial)}
    keys = ["recall", "precision", "ap50", "chance_ap50", "mask_iou", "trivial_iou"]
    everything = np.concatenate([np.array(m) for m in masks.values()])
    overall = {k: float(np.mean([r[k] for r in table.values()])) for k in keys}
    print("| part | boxes | " + " | ".join(keys) + " |\n|---|---|" + "---|" * len(keys))
    for name, row in [*table.items(), ("mean over parts", overall | {"boxes": len(everything)})]:
        print(f"| {name} | {row['boxes']} | " + " | ".join(f"{row[k]:.2f}" for k in keys) + " |")
    print(f"{len(chosen)} images; {strong / len(chosen):.2f} boxes per image above {args.threshold}; mean over boxes: "
          f"mask IoU {everything[:, 0].mean():.3f}, box and not background {everything[:, 1].mean():.3f}")
    if args.json:
        args.json.write_text(json.dumps({"parts": table, "mean": overall, "images": len(chosen)}, indent=1) + "\n")


def calibrate(candidates):
    """The shift of the token logits that gives the best F2 at score 0.5. Recall counts twice: ten views outvote a wrong box,
    and real clouds score lower than those that were learned from."""
    count = sum(c for _, _, c in candidates)
    values, flags = np.concatenate([v for v, _, _ in candidates]), np.concatenate([f for _, f, _ in candidates])
    logit = np.log(values[:, 0] / (1 - values[:, 0]))
    best = []
    for shift in np.arange(-3, 3.01, 0.1):
        above = np.sqrt(sigmoid(logit + shift) * values[:, 1]) > 0.5
        hits, false = (flags[above] == 1).sum(), (flags[above] == 0).sum()
        recall, precision = hits / count, hits / max(hits + false, 1)
        best.append((5 * recall * precision / max(recall + 4 * precision, 1e-9), shift, recall, precision))
    f2, shift, recall, precision = max(best)
    print(f"at a score of 0.5: F2 {f2:.3f}, recall {recall:.3f}, precision {precision:.3f}, with the shift\n{shift:.1f}")


if __name__ == "__main__":
    main()

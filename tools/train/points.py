"""Measures an exported point decoder on images in the format of `procedural dataset`, asked as SAM's automatic masks are.

    python points.py MODELS DATA                what is found of the instances, and how well the decoder knows it
    python points.py MODELS DATA --calibrate    last line: the gain and the shift for export.py that suit SAM's thresholds
"""

import argparse
import pathlib

import numpy as np
import onnxruntime

from dataset import KEPT, SIZE, Dataset
from evaluate import Models, sigmoid

SURE, STABLE = 0.88, 0.95  # SAM's thresholds
GOOD = 0.5  # IoU of a mask that is worth keeping


def answers(models, image, points):
    """Logits [P, 3, 256, 256] and predicted IoU [P, 3] at points [P, 2]."""
    embedding = models.session["sam_encoder"].run(None, {"image": models.image(image, "segmenter")})[0]
    return models.session["sam_points"].run(["low_res_logits", "iou"], {
        "image_embeddings": embedding, "points": points.astype(np.float32), "image_index": np.zeros(len(points), np.int64)})


def stability(logits, offset):
    return (logits > offset).sum((1, 2)) / np.maximum((logits > -offset).sum((1, 2)), 1)


def rows_of(models, data, i, side, gains):
    """Of each answer at side x side points: IoU logit, IoU with the instance that it fits best, IoU with the object, whether
    it is stable for each gain. And of each instance the IoU with the answer that fits best, and with the best of those
    that SAM's thresholds keep."""
    instances = np.asarray(data.instances[i])
    at = ((np.arange(side) + 0.5) * SIZE / side).astype(int)
    y, x = (v.ravel() for v in np.meshgrid(at, at, indexing="ij"))
    on = instances[y, x] > 0
    if not on.any():
        return [], []
    logits, sure = answers(models, np.asarray(data.images[i]), np.stack([x[on], y[on]], 1))
    logits, sure = logits.reshape(-1, 256, 256), sure.ravel()
    # The object's pixels at the centres of the logits.
    centre = ((np.arange(256) + 0.5) * SIZE / 256).astype(int)
    codes = instances[centre][:, centre]
    shown = codes > 0
    masks = (logits > 0)[:, shown].astype(np.float32)
    kept = [int(row[5]) + 1 for row in data.boxes[i] if row[6] == KEPT]
    truths = np.stack([codes[shown] == code for code in kept] + [np.ones(shown.sum(), bool)]).astype(np.float32)
    inter = masks @ truths.T
    overlap = inter / np.maximum(masks.sum(1)[:, None] + truths.sum(1) - inter, 1)
    logit = np.log(np.clip(sure, 1e-6, 1 - 1e-6) / (1 - np.clip(sure, 1e-6, 1 - 1e-6)))
    stable = np.stack([stability(logits, 1 / gain) >= STABLE for gain in gains], 1)
    best = overlap[:, :-1].max(0, initial=0)
    held = (sure > SURE) & stable[:, 0]
    return np.column_stack([logit, overlap[:, :-1].max(1, initial=0), overlap[:, -1], stable]), np.stack([best, overlap[held, :-1].max(0, initial=0)], 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--side", type=int, default=32, help="points along each side")
    parser.add_argument("--limit", type=int, default=0, help="images, evenly spread; 0 for all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--calibrate", action="store_true")
    args = parser.parse_args()
    data, models = Dataset(args.data), Models(args.models, args.threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    models.session["sam_points"] = onnxruntime.InferenceSession(args.models / "sam_points.onnx", options, providers=["CPUExecutionProvider"])
    chosen = np.arange(len(data)) if not args.limit else np.linspace(0, len(data) - 1, args.limit).astype(int)
    gains = (1, 2, 4, 8) if args.calibrate else (1,)
    pairs = [rows_of(models, data, i, args.side, gains) for i in chosen]
    rows, found = (np.concatenate([pair[k] for pair in pairs if len(pair[k])]) for k in (0, 1))
    if args.calibrate:
        calibrate(rows, gains)
        return
    sure = sigmoid(rows[:, 0]) > SURE
    kept, good = sure & (rows[:, 3] > 0), rows[:, 1:3].max(1) > GOOD
    print(f"{len(chosen)} images, {len(rows)} answers: {(rows[:, 1] > GOOD).mean():.2f} fit an instance with IoU above {GOOD}, "
          f"{good.mean():.2f} that or the object; {sure.mean():.2f} are sure, {kept.mean():.2f} stable too, of which {good[kept].mean():.2f} fit")
    print(f"{len(found)} instances: IoU of the answer that fits best {found[:, 0].mean():.3f}, above 0.5 {(found[:, 0] > 0.5).mean():.3f}; "
          f"of those kept {found[:, 1].mean():.3f}, {(found[:, 1] > 0.5).mean():.3f}")


def calibrate(rows, gains):
    """The gain of the logits by which nine of ten good masks are stable (at most the largest that is tried), and the shift of the IoU logit by which being sure
    tells good masks of instances best (F1). The object itself is found easily, and does not count."""
    good = rows[:, 1] > GOOD
    rows, good = rows[good | (rows[:, 2] <= GOOD)], good[good | (rows[:, 2] <= GOOD)]
    gain = next((gain for k, gain in enumerate(gains) if rows[good, 3 + k].mean() >= 0.9), gains[-1])
    limit = np.log(SURE / (1 - SURE))
    best = []
    for shift in np.arange(-2, 6.01, 0.1):
        sure = rows[:, 0] + shift > limit
        recall, precision = (sure & good).sum() / good.sum(), (sure & good).sum() / max(sure.sum(), 1)
        best.append((2 * recall * precision / max(recall + precision, 1e-9), shift, recall, precision))
    f1, shift, recall, precision = max(best)
    print(f"F1 {f1:.3f}, recall {recall:.3f}, precision {precision:.3f}, with the gain and the shift\n{gain} {shift:.1f}")


if __name__ == "__main__":
    main()

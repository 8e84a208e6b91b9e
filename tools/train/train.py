"""Trains the two small models: `python train.py detector DATA -o RUN`, then `python train.py segmenter DATA -o RUN`.

Everything is drawn from --seed; the step count fixes the schedule. Every few minutes RUN/<model>.pt takes the averaged weights,
so that a run can be exported at any moment, and the state of the run, so that the same command continues it. With --start the
weights of an exported folder are adapted to DATA.
"""

import argparse
import json
import math
import pathlib
import time

import numpy as np
import torch

import detector
import exported
import losses
import segmenter
from dataset import Dataset, detector_batch, normalise, segmenter_batch
from vocabulary import Tokenizer, build_vocabulary


class DetectorTask:
    def __init__(self, data):
        self.data, vocabulary = data, build_vocabulary()
        self.tokenizer = Tokenizer(vocabulary)
        self.model = torch.nn.ModuleDict({
            "text": detector.TextEncoder(len(vocabulary), self.tokenizer.ids["."]), "detector": detector.GroundingDetector()})

    def loss(self, random):
        images, input_ids, mask, batch = detector_batch(self.data, self.tokenizer, random)
        x = normalise(images.flip(1), detector.MEAN_BGR, detector.STD_BGR).bfloat16().contiguous(memory_format=torch.channels_last)
        anchor, counts = detector.anchors(*x.shape[2:])
        with torch.autocast("cpu", torch.bfloat16):
            outputs = self.model["detector"](x, self.model["text"](input_ids, mask), mask, auxiliary=True)
        return losses.detector_loss(outputs, anchor, counts, batch)


class SegmenterTask:
    def __init__(self, data):
        self.data, self.model = data, segmenter.Segmenter()

    def loss(self, random):
        images, boxes, image_index, instances, codes = segmenter_batch(self.data, random)
        x = normalise(images, segmenter.MEAN_RGB, segmenter.STD_RGB).bfloat16().contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits, quality, windows = self.model.decoder.window(self.model.encoder(x), boxes, image_index)
        return losses.segmenter_loss(logits, quality, windows, image_index, instances, codes)


TASKS = {"detector": DetectorTask, "segmenter": SegmenterTask}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=TASKS)
    parser.add_argument("data", help="folder made by `procedural dataset`")
    parser.add_argument("-o", "--run", type=pathlib.Path, required=True, help="folder for checkpoints and the log")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--start", type=pathlib.Path, help="folder made by export.py to begin from, its batch norms frozen")
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=4, help="between checkpoints")
    args = parser.parse_args()
    args.run.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    random = np.random.default_rng(args.seed)
    task = TASKS[args.model](Dataset(args.data))
    model = task.model.to(memory_format=torch.channels_last).train()
    if args.start:
        exported.restore(model.eval(), args.start)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05},
                                   {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0}], lr=args.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(
        (s + 1) / 200, 0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * min(s / args.steps, 1)))))
    average = {k: v.clone() for k, v in model.state_dict().items()}
    checkpoint = args.run / f"{args.model}.pt"
    begin, before = 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        if (saved["seed"], saved["steps"], saved["images"]) != (args.seed, args.steps, len(task.data)):
            parser.error(f"{checkpoint} is of another run: remove it, or give its --seed and --steps")
        begin, before, average = saved["step"], saved["seconds"], saved["average"]
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        random.bit_generator.state = saved["random"]
        torch.set_rng_state(saved["torch_random"])
    log = open(args.run / f"{args.model}.log", "a")
    started, last_save = time.time() - before, time.time()
    sums, since = {}, 0

    def save(step):
        torch.save({"average": average, "step": step, "seed": args.seed, "steps": args.steps, "images": len(task.data),
                    "seconds": time.time() - started, "model": model.state_dict(), "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(), "random": random.bit_generator.state,
                    "torch_random": torch.get_rng_state()}, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)

    for step in range(begin, args.steps):
        loss, terms = task.loss(random)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        if torch.isfinite(norm):
            optimizer.step()
        schedule.step()
        decay = min(0.998, (step + 1) / (step + 10))
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                average[key].lerp_(value, 1 - decay)
            else:
                average[key].copy_(value)
        since += 1
        for key, value in (terms | {"norm": norm.item()}).items():
            sums[key] = sums.get(key, 0) + value
        if (step + 1) % 50 == 0 or step + 1 == args.steps:
            line = {"step": step + 1, "seconds": round(time.time() - started, 1), **{k: round(v / since, 4) for k, v in sums.items()}}
            print(json.dumps(line), file=log, flush=True)
            print(json.dumps(line), flush=True)
            sums, since = {}, 0
        if time.time() - last_save > 60 * args.minutes:
            save(step + 1)
            last_save = time.time()
    save(args.steps)


if __name__ == "__main__":
    main()

"""Trains the two small models: `python train.py detector DATA -o RUN`, then `python train.py segmenter DATA -o RUN`.

Every batch is drawn from --seed and its step; the step count fixes the schedule. Every few minutes RUN/<model>.pt takes
the averaged weights, so that a run can be exported at any moment, and the state of the run, so that the same command
continues it. With --start the weights of an exported folder are adapted to DATA.
"""

import argparse
import json
import math
import pathlib
import time

import numpy as np
import torch
from torch import distributed

import detector
import exported
import losses
import segmenter
from dataset import Dataset, detector_batch, normalise, point_batch, segmenter_batch
from vocabulary import Tokenizer, build_vocabulary

COMMON = ("seed", "steps", "images", "settings")  # in which a checkpoint and the command that continues it must agree


class DetectorTask:
    def __init__(self, data, args):
        self.data, vocabulary = data, build_vocabulary()
        self.tokenizer = Tokenizer(vocabulary)
        trunk = exported.trunk(args.start) if args.start else args.trunk
        self.model = torch.nn.ModuleDict({
            "text": detector.TextEncoder(len(vocabulary), self.tokenizer.ids["."]), "detector": detector.GroundingDetector(trunk)})
        self.pretrained = None
        if args.pretrained:
            self.pretrained = self.trunk
            self.pretrained.load_state_dict(torch.load(args.pretrained, weights_only=True))
            self.pretrained.freeze(args.frozen)

    def started(self):
        """Norms stay as they were exported."""

    @property
    def trunk(self):
        return self.model["detector"].backbone

    def batch(self, random, share):
        return detector_batch(self.data, self.tokenizer, random, share)

    def loss(self, batch):
        images, input_ids, mask, items = batch
        x = self.trunk_input(images)
        anchor, counts = detector.anchors(*x.shape[2:])
        with torch.autocast(x.device.type, torch.bfloat16):
            outputs = self.model["detector"](x, self.model["text"](input_ids, mask), mask, auxiliary=True)
        return losses.detector_loss(outputs, anchor.to(x.device), counts, items)

    def trunk_input(self, images):
        images = images.flip(1) if self.trunk.order == "bgr" else images
        return normalise(images, self.trunk.mean, self.trunk.std).bfloat16().contiguous(memory_format=torch.channels_last)


class SegmenterTask:
    pretrained = None

    def started(self):
        """Norms stay as they were exported."""

    def __init__(self, data, args):
        self.data, self.model = data, segmenter.Segmenter()

    def batch(self, random, share):
        return segmenter_batch(self.data, random, share)

    def input(self, images):
        x = normalise(images, segmenter.MEAN_RGB, segmenter.STD_RGB)
        return x.bfloat16().contiguous(memory_format=torch.channels_last)

    def loss(self, batch):
        images, boxes, image_index, instances, codes = batch
        with torch.autocast(images.device.type, torch.bfloat16):
            logits, quality, windows = self.model.decoder.window(self.model.encoder(self.input(images)), boxes, image_index)
        return losses.segmenter_loss(logits, quality, windows, image_index, instances, codes)


class PointTask(SegmenterTask):
    """The point decoder, on the encoder as it is."""

    def __init__(self, data, args):
        super().__init__(data, args)
        self.model.requires_grad_(False).points.requires_grad_(True)

    def started(self):
        self.model.points.train()  # all others stay as they were exported

    def batch(self, random, share):
        return point_batch(self.data, random, share)

    def loss(self, batch):
        images, points, image_index, instances, codes = batch
        with torch.autocast(images.device.type, torch.bfloat16):
            with torch.no_grad():
                embeddings = self.model.encoder(self.input(images))
            logits, quality, windows = self.model.points.window(embeddings, points, image_index)
        return losses.point_loss(logits, quality, windows, image_index, instances, codes)


TASKS = {"detector": DetectorTask, "segmenter": SegmenterTask, "points": PointTask}


class Batches(torch.utils.data.Dataset):
    """Batch k is drawn from the seed, k and the process alone, so that a run can go on at any step."""

    def __init__(self, task, args, rank):
        self.task, self.args, self.rank = task, args, rank

    def __len__(self):
        return self.args.steps

    def __getitem__(self, step):
        return self.task.batch(np.random.default_rng([self.args.seed, step, self.rank]), 1 / self.args.processes)


def moved(value, device):
    """Tensors in lists, tuples and dicts, on a device."""
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {k: moved(v, device) for k, v in value.items()}
    return type(value)(moved(v, device) for v in value) if isinstance(value, (list, tuple)) else value


def agree(tensors):
    """Every process gets the mean of all processes' tensors."""
    flat = torch.cat([t.flatten() for t in tensors])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors])):
        tensor.copy_(mean.view_as(tensor))


def groups(task, args):
    """Parameters by learning rate and weight decay: a pretrained trunk learns at a rate of its own."""
    trunk = {id(p) for p in task.pretrained.parameters()} if task.pretrained else set()
    learned = [p for p in task.model.parameters() if p.requires_grad]
    made = [{"params": [p for p in learned if (id(p) in trunk) == own and (p.ndim > 1) == decayed],
             "lr": args.rate * (args.trunk_rate if own else 1), "weight_decay": 0.05 if decayed else 0.0}
            for own in (False, True) for decayed in (True, False)]
    return [group for group in made if group["params"]]


def run(rank, args):
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    if args.processes > 1:
        distributed.init_process_group("gloo", init_method=f"file://{args.run.resolve()}/meeting", rank=rank, world_size=args.processes)
    task = TASKS[args.model](Dataset(args.data), args)
    model = task.model.to(args.device, memory_format=torch.channels_last).train()
    if args.start:
        exported.restore(model.eval(), args.start)
        task.started()
    if args.further:
        model.load_state_dict(torch.load(args.further, weights_only=True, map_location=args.device)["average"])
    if task.pretrained:
        task.pretrained.eval()  # its norms keep their statistics
    optimizer = torch.optim.AdamW(groups(task, args))
    warm = min(200, max(args.steps // 10, 1))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(
        (s + 1) / warm, 0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * min(s / args.steps, 1)))))
    average = {k: v.clone() for k, v in model.state_dict().items()}
    mine = {"seed": args.seed, "steps": args.steps, "images": len(task.data), "settings": settings(args)}
    checkpoint = args.run / f"{args.model}.pt"
    begin, before = 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=args.device)
        for key in COMMON:
            if saved.get(key) != mine[key]:
                raise SystemExit(f"{checkpoint} is of another run, {key} {saved.get(key)} instead of {mine[key]}: remove it, or give the same")
        begin, before, average = saved["step"], saved["seconds"], saved["average"]
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
    log = open(args.run / f"{args.model}.log", "a") if rank == 0 else None
    started, last_save = time.time() - before, time.time()
    sums, since = {}, 0

    def save(step):
        torch.save(mine | {"average": average, "step": step, "seconds": time.time() - started, "model": model.state_dict(),
                           "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()},
                   checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)

    end = min(args.until or args.steps, args.steps)
    batches = torch.utils.data.DataLoader(Batches(task, args, rank), batch_size=None, sampler=range(begin, end),
                                          num_workers=args.workers, pin_memory=args.device != "cpu")
    for step, batch in enumerate(batches, begin):
        loss, terms = task.loss(moved(batch, args.device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if args.processes > 1:
            agree([p.grad for p in model.parameters() if p.grad is not None] +
                  [b for b in model.buffers() if b.is_floating_point()])
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
        if rank == 0 and ((step + 1) % 50 == 0 or step + 1 == end):
            line = {"step": step + 1, "seconds": round(time.time() - started, 1), **{k: round(v / since, 4) for k, v in sums.items()}}
            print(json.dumps(line), file=log, flush=True)
            print(json.dumps(line), flush=True)
            sums, since = {}, 0
        if rank == 0 and time.time() - last_save > 60 * args.minutes:
            save(step + 1)
            last_save = time.time()
    if rank == 0 and begin < end:
        save(end)
    if args.processes > 1:
        distributed.barrier()
        distributed.destroy_process_group()


def settings(args):
    """What else decides the path of a run."""
    return {k: str(getattr(args, k)) for k in ("trunk", "pretrained", "frozen", "trunk_rate", "rate", "start", "further", "processes")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=TASKS)
    parser.add_argument("data", help="folder made by `procedural dataset`")
    parser.add_argument("-o", "--run", type=pathlib.Path, required=True, help="folder for checkpoints and the log")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--until", type=int, help="step after which to stop; without it the same command goes on")
    parser.add_argument("--trunk", choices=detector.TRUNKS, default="small", help="the detector's")
    parser.add_argument("--pretrained", type=pathlib.Path, help="the trunk's weights, made by lite0.py; its norms' statistics stay")
    parser.add_argument("--frozen", type=int, default=2, help="first stages of the pretrained trunk that do not learn, as its stem; 6 is all")
    parser.add_argument("--trunk-rate", type=float, default=0.1, help="the pretrained trunk's learning rate, as a part of --rate")
    parser.add_argument("--start", type=pathlib.Path, help="folder made by export.py to begin from, its batch norms frozen")
    parser.add_argument("--further", type=pathlib.Path, help="checkpoint of an earlier run, whose averaged weights learn further on DATA")
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1, help="that share each batch; one a core is the fastest on CPUs")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches; some for a GPU")
    parser.add_argument("--minutes", type=float, default=4, help="between checkpoints")
    args = parser.parse_args()
    if args.pretrained and args.trunk != "lite0":
        parser.error("--pretrained is for --trunk lite0")
    if args.model == "points" and not args.start:
        parser.error("points needs --start, whose embeddings it answers from")
    args.run.mkdir(parents=True, exist_ok=True)
    if args.processes == 1:
        run(0, args)
    else:
        (args.run / "meeting").unlink(missing_ok=True)
        Dataset(args.data)  # so that its boxes are there
        torch.multiprocessing.spawn(run, (args,), args.processes)


if __name__ == "__main__":
    main()

"""Learns an offset of a detector's text from a few labelled clouds; the detector itself stays as it is.

Liu et al., PartSLIP, CVPR 2023, after GLIP's "language prompt v2": a table of vectors, one for each token of one caption, is
added to what the text encoder gives. It begins at 0, where the detector is as it was.
"""

import argparse
import pathlib
import shutil
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch

TOOLS = pathlib.Path(__file__).resolve().parent.parent
sys.path += [str(TOOLS / name) for name in ("export", "train") if str(TOOLS / name) not in sys.path]

import offset  # noqa: E402
import precision  # noqa: E402
import rows  # noqa: E402
import shots  # noqa: E402
from checkpoint import Refused  # noqa: E402
from dataset import KEPT  # noqa: E402
from frozen import Frozen, Prompt  # noqa: E402

SIDES = (0.6, 0.7, 0.8, 0.9, 1.0)
"""Of the detector's input: 480 to 800 pixels."""


@dataclass(frozen=True)
class Schedule:
    """PartSLIP++'s command for its Chair, the only one that was published."""
    rate: float = 0.05
    decay: float = 0.25
    batch: int = 3
    epochs: int = 200
    drop: int = 3
    """Evaluations without a better AP after which the rate falls to a tenth."""
    stop: int = 8
    """Evaluations with a lower AP than the best after which it ends."""
    clip: float = 1.0
    seed: int = 0


def detect(frozen: Frozen, views: list[shots.View], prompt: Prompt, table: torch.Tensor | None,
           keep: bool = False) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What is found and what is there in each view, at full size."""
    found, truth = [], []
    with torch.no_grad():
        for i, view in enumerate(views):
            seen, size = frozen.look(i if keep else None, view.image, frozen.side)
            found.append(frozen.detections(frozen.outputs(seen, prompt, table), prompt, size))
            truth.append(scaled(view.boxes, size, view.image.shape))
            if not keep:
                frozen.kept.pop((None, frozen.side, False))
    return found, truth


def scaled(boxes: np.ndarray, size: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    boxes = boxes.astype(np.float32)
    boxes[:, :4] *= np.tile([size[1] / shape[1], size[0] / shape[0]], 2)
    return boxes


def step(frozen: Frozen, views: list[shots.View], prompt: Prompt, table: torch.Tensor, chosen: list[tuple[int, int, bool]]) -> float:
    """Adds the gradient of one batch's loss to the table's, image by image; `chosen`: view, side, whether it is mirrored."""
    counted, looks, targets = frozen.counted(prompt), [], []
    for i, side, flip in chosen:
        seen, size = frozen.look(i, views[i].image, side, flip)
        kept = scaled(views[i].kept, size, views[i].image.shape)
        boxes, part = torch.tensor(kept[:, :4]), torch.tensor(kept[:, 4], dtype=torch.int64)
        if flip:
            boxes[:, [0, 2]] = size[1] - 1 - boxes[:, [2, 0]]
        looks.append(seen)
        targets.append(frozen.target(size, boxes, prompt.tokens[part][:, counted]))
    scale, total = frozen.scale(targets), 0.0
    for seen, target in zip(looks, targets):
        logits, *others = frozen.outputs(seen, prompt, table)
        loss = sum(frozen.losses([logits[:, counted], *others], target, scale).values())
        loss.backward()
        total += loss.item()
    return total


def learn(frozen: Frozen, views: list[shots.View], prompt: Prompt, schedule: Schedule = Schedule(), tell=print) -> torch.Tensor | None:
    """The table `[L, D]` that has the best AP on the views that it was learned from; None if the best is to have none."""
    views = [view for view in views if len(view.kept)]
    if not views:
        raise Refused("no view shows a part: there is nothing to learn from")
    random = np.random.default_rng(schedule.seed)
    sides = [round(frozen.side * s) for s in SIDES]
    table = torch.zeros(len(prompt.ids), prompt.hidden.shape[1] - frozen.idle, requires_grad=True)
    optimizer = torch.optim.AdamW([table], lr=schedule.rate, weight_decay=schedule.decay)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", 0.1, schedule.drop, 1e-4, min_lr=1e-6)
    batch = min(schedule.batch, len(views))
    best, answer, worse, started = 0.0, None, 0, time.time()
    without, ap50 = precision.average(*detect(frozen, views, prompt, None, keep=True))
    tell(f"without: AP {without:.4f}, AP50 {ap50:.4f}")
    for epoch in range(schedule.epochs):
        order, total = random.permutation(len(views)), []
        # The last views of an epoch that fill no batch are left out.
        for first in range(0, len(views) - batch + 1, batch):
            chosen = [(i, int(random.choice(sides)), bool(random.random() < 0.5)) for i in order[first:first + batch].tolist()]
            optimizer.zero_grad()
            total.append(step(frozen, views, prompt, table, chosen))
            if not np.isfinite(total[-1]):
                raise Refused(f"the loss is {total[-1]} in epoch {epoch + 1}; a lower --rate may help")
            torch.nn.utils.clip_grad_norm_([table], schedule.clip)
            optimizer.step()
        ap, ap50 = precision.average(*detect(frozen, views, prompt, table, keep=True))
        tell(f"epoch {epoch + 1}: loss {np.mean(total):.4f}, AP {ap:.4f}, AP50 {ap50:.4f}, rate {optimizer.param_groups[0]['lr']:.1e}, "
             f"{time.time() - started:.0f} s")
        # QUIRK zero-ap: GLIP's training does not tell the schedule of an AP of 0.
        if ap > 0:
            plateau.step(ap)
        if ap >= best:
            best, answer, worse = ap, table.detach().clone(), 0
        else:
            worse += 1
            if worse == schedule.stop:
                break
    return answer if best > without else None


def tune(args: argparse.Namespace) -> None:
    names, shapes = shots.find(args.clouds, args.split, args.category)
    shapes = shapes[:args.shapes]
    measured = {split: shots.find(args.clouds, split, args.category)[1] for split in args.measure}
    torch.set_num_threads(args.threads)
    with torch.device(args.device):
        frozen = args.detector(args)
        offset.check_free(names, args.category, frozen.folder)
        prompt = frozen.prompt(names)

        up = ("--up", args.up) if args.up else ()

        def views(some):
            return [view for shape in some for view in shots.views(shape, args.partstad, up)]

        own = views(shapes)
        print(f"{args.category}: {len(shapes)} shapes, {sum(len(v.kept) > 0 for v in own)} views with "
              f"{sum(len(v.kept) for v in own)} boxes, {len(prompt.ids)} tokens", flush=True)
        schedule = Schedule(rate=args.rate, epochs=args.epochs, seed=args.seed)
        table = learn(frozen, own, prompt, schedule, lambda line: print(line, flush=True))
        if table is None:
            print("No round is better than no offset on the views that it was learned from; none is written.")
            return
        if args.out != frozen.folder:
            shutil.copytree(frozen.folder, args.out, dirs_exist_ok=True)
        # First of all: what follows may fail.
        offset.write(frozen.whole(table).cpu(), names, args.category, args.out)
        frozen.kept.clear()
        for split in [args.split, *measured]:
            some = own if split == args.split else views(measured[split])
            both = [detect(frozen, some, prompt, t) for t in (None, table)]
            (ap, ap50), (ap_after, ap50_after) = (precision.average(*x) for x in both)
            print(f"{split}: {len(some)} views, AP {ap:.3f} before, {ap_after:.3f} after; AP50 {ap50:.3f} before, {ap50_after:.3f} after", flush=True)
            if split == args.split:
                before, after = (precision.threshold(*x) for x in both)
                print(f"the best F1 there is that of boxes above a score of {before:.2f} before, {after:.2f} after (--score)", flush=True)
        if args.device != "cpu":
            print(f"{torch.cuda.get_device_name()}: {torch.cuda.max_memory_allocated() / 1e9:.1f} GB at most")


def of_glip(args):
    import anchored
    return anchored.of_checkpoint(args.checkpoint, args.size, args.out, args.device)


def of_grounding_dino(args):
    import queries
    return queries.of_folder(args.checkpoint, args.out, args.device)


def of_small(args):
    import anchored
    if args.out.resolve() == args.checkpoint.resolve():
        raise Refused(f"{args.out}: the stand-in itself; name another folder, which becomes a copy with the offset")
    there = (args.out / "manifest.json").exists()
    if not there and args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise Refused(f"{args.out}: holds something else; name a new folder, or one that was tuned before")
    return anchored.of_stand_in(args.checkpoint, args.out if there else args.checkpoint, args.device)


def positive(kind: type):
    """An argument that is a number above 0."""
    def parse(text: str):
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError
        return value
    parse.__name__ = f"positive {kind.__name__}"
    return parse


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, what: str, detector, checkpoint: str, rate: float) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=what, description=what)
        added.add_argument("checkpoint", type=pathlib.Path, help=checkpoint)
        added.add_argument("clouds", type=pathlib.Path, help="labelled clouds: with a dataset.json, or in PartNet-Ensembled's layout")
        added.add_argument("--category", required=True)
        added.add_argument("-o", "--out", type=pathlib.Path, required=True, help="folder of models that the checkpoint was exported to")
        added.add_argument("--split", default="train", help="what is learned from [default: train]")
        added.add_argument("--shapes", type=positive(int), default=8, help="at most so many, the first by name [default: 8]")
        added.add_argument("--measure", type=lambda text: text.split(","), default=[], metavar="SPLITS",
                           help="also tell AP before and after on these, such as val,test")
        added.add_argument("--rate", type=positive(float), default=rate, help=f"learning rate [default: {rate}]")
        added.add_argument("--epochs", type=positive(int), default=Schedule.epochs, help="at most [default: 200]")
        added.add_argument("--seed", type=int, default=0)
        added.add_argument("--device", default="cpu", help="cpu or cuda")
        added.add_argument("--threads", type=positive(int), default=1)
        added.add_argument("--up", choices=("x", "y", "z", "-x", "-y", "-z"), help="which way is up in the clouds [default: y]")
        added.add_argument("--partstad", default="partstad", help="the program that renders")
        added.set_defaults(run=tune, detector=detector)
        return added

    added = command("glip", "an offset of GLIP's text", of_glip, "the weights: .pth or .safetensors", Schedule.rate)
    added.add_argument("--size", choices=("glip-t-a", "glip-t", "glip-l"), required=True)
    command("grounding-dino", "an offset of GroundingDINO's text", of_grounding_dino, "folder with config.json and model.safetensors",
            Schedule.rate)
    command("small", "an offset of the stand-in's text", of_small, "folder of the stand-in, models/small", 0.01)

    added = commands.add_parser("rows", help=rows.__doc__.splitlines()[0], description=rows.__doc__.splitlines()[0])
    added.add_argument("checkpoint", type=pathlib.Path, help="a few-shot checkpoint of PartSLIP's kind, or an offset's file")
    added.add_argument("--parts", type=lambda text: text.split(","), required=True, metavar="NAMES", help="the parts of its caption, in order")
    added.add_argument("--vocabulary", type=pathlib.Path, required=True, metavar="FILE", help="vocab.txt of bert-base-uncased")
    added.set_defaults(run=lambda a: print(rows.explain(rows.read(a.checkpoint), a.parts, a.vocabulary)))

    args = parser.parse_args(arguments)
    try:
        args.run(args)
    except Refused as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

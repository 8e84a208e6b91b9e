"""Exports models to a folder of ONNX files with a manifest, for partstad."""

import argparse
import pathlib
import sys

import detr
import glip
import half
import offset
import owlvit
import sam
import sam2
import sam3
from checkpoint import Refused, read


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def export_offset(args: argparse.Namespace) -> None:
    state = read(args.checkpoint)
    learned = offset.learned(state)
    if learned is None:
        raise Refused(f"{args.checkpoint}: there is no learned offset ({offset.KEY})")
    offset.check_base(state, read(args.base))
    offset.write(learned, args.parts, args.checkpoint.stem, args.out)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, what: str, run, weights="the weights: .pth, .pt, .bin or .safetensors") -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=what, description=what)
        added.add_argument("checkpoint", type=pathlib.Path, help=weights)
        added.add_argument("-o", "--out", type=pathlib.Path, required=True, help="folder of models; its other models stay")
        added.set_defaults(run=run)
        return added

    added = command("sam", "SAM's image encoder and box decoder",
                    lambda a: sam.export_checkpoint(read(a.checkpoint), a.model, a.out))
    added.add_argument("--model", choices=sam.PACKAGES, required=True, help="the checkpoint's model; vit_t is MobileSAM")

    command("sam2", "SAM 2, SAM 2.1 or EdgeTAM of transformers, a segmenter of images", lambda a: sam2.export_folder(a.checkpoint, a.out),
            "folder with config.json and model.safetensors; that of the model of videos will do")

    added = command("glip", "GLIP's text encoder and grounding detector",
                    lambda a: glip.export_checkpoint(read(a.checkpoint), a.size, a.vocabulary, a.out, a.parts))
    added.add_argument("--size", choices=glip.SIZES, required=True)
    added.add_argument("--vocabulary", type=pathlib.Path, required=True, metavar="FILE", help="vocab.txt of bert-base-uncased")
    added.add_argument("--parts", type=names, metavar="NAMES", help="of a few-shot checkpoint: the parts of its caption")

    added = command("offset", "the text offset of one of PartSLIP's few-shot checkpoints, for a GLIP exported to the folder before",
                    export_offset)
    added.add_argument("--base", type=pathlib.Path, required=True, metavar="FILE", help="the checkpoint it was learned on")
    added.add_argument("--parts", type=names, required=True, metavar="NAMES", help="the parts of its caption, in order")

    command("grounding-dino", "GroundingDINO of transformers", lambda a: detr.export_folder(a.checkpoint, a.out),
            "folder with config.json, model.safetensors and vocab.txt")

    command("owlvit", "OWL-ViT of transformers", lambda a: owlvit.export_folder(a.checkpoint, a.out),
            "folder with config.json, model.safetensors, vocab.json and merges.txt")

    command("sam3", "SAM 3 of transformers", lambda a: sam3.export_folder(a.checkpoint, a.out),
            "folder with config.json, model.safetensors and the tokenizer's files")

    added = command("half", "a folder of models in half precision: what computes in f32 computes in f16 or bf16",
                    lambda a: half.convert_folder(a.checkpoint, a.out, a.type), "folder of models with a manifest.json")
    added.add_argument("--type", choices=half.TYPES, default="f16",
                       help="bf16 needs CUDA; bf16-imitated computes in f32 and rounds to bf16, slowly, to measure bf16 on a CPU [default: f16]")

    args = parser.parse_args(arguments)
    try:
        args.run(args)
    except Refused as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

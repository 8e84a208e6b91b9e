"""Exports models for partstad to a folder of ONNX files with a manifest."""

import argparse
import pathlib
import sys

import checkpoint
import sam


def main() -> int:
    parser = argparse.ArgumentParser(prog="export", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, what: str, run) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=what, description=what)
        added.add_argument("checkpoint", type=pathlib.Path, help="the weights: .pth, .pt, .bin or .safetensors")
        added.add_argument("-o", "--out", type=pathlib.Path, required=True, help="folder of models; its other models stay")
        added.set_defaults(run=run)
        return added

    added = command("sam", "SAM's image encoder and box decoder",
                    lambda a: sam.export_checkpoint(checkpoint.read(a.checkpoint), a.model, a.out))
    added.add_argument("--model", choices=sam.PACKAGES, required=True, help="the checkpoint's model; vit_t is MobileSAM")

    args = parser.parse_args()
    try:
        args.run(args)
    except checkpoint.Refused as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

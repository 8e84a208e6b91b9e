"""SAM's image encoder: PyTorch's eager segment-anything beside its export through ONNX Runtime. Prints what goes to benches/record/.

Weights are random. Wants the packages of tools/export/requirements.txt, but onnxruntime-gpu in place of onnxruntime.
"""

import argparse
import contextlib
import copy
import pathlib
import statistics
import sys
import tempfile
import time

import numpy
import onnxruntime
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "export"))
import half
import sam

# Of the largest magnitude.
TOLERANCE = {"f32": 1e-3, "f16": 3e-2, "bf16": 2e-1}
# What PyTorch computes in, and what the file takes.
DTYPES = {"f32": (torch.float32, torch.float32), "f16": (torch.float16, torch.float16), "bf16": (torch.bfloat16, torch.float32)}
ELEMENTS = {torch.float32: numpy.float32, torch.float16: numpy.float16}
PROVIDERS = {"cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}), "cpu": ("CPUExecutionProvider", {})}


def export(model: str, folder: pathlib.Path, device: str) -> torch.nn.Module:
    """Writes the encoder's files, one a precision, and returns the module. On a CPU bf16 is imitated."""
    whole = sam.build(model)
    for tensor in whole.parameters():
        # What training starts at zero, such as positions, would not be compared.
        if not tensor.any():
            torch.nn.init.normal_(tensor, std=0.02)
    with contextlib.redirect_stdout(sys.stderr):
        sam.export(whole, folder)
        half.convert(folder / "sam_encoder.onnx", folder / "f16.onnx")
        half.convert(folder / "sam_encoder.onnx", folder / "bf16.onnx", "bf16" if device == "cuda" else "bf16-imitated")
    (folder / "f32.onnx").symlink_to("sam_encoder.onnx")
    return whole.image_encoder


def session(file: pathlib.Path, device: str) -> onnxruntime.InferenceSession:
    made = onnxruntime.InferenceSession(file, providers=[PROVIDERS[device]])
    if made.get_providers()[0] != PROVIDERS[device][0]:
        sys.exit(f"error: this ONNX Runtime does not compute on {device}: {made.get_providers()}; install onnxruntime-gpu in place of onnxruntime")
    return made


def seconds(run, device: str, runs: int) -> float:
    """The median of `runs` after two that find everything cold."""
    times = []
    for _ in range(2 + runs):
        begin = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[2:])


@torch.inference_mode()
def compare(encoder: torch.nn.Module, made: onnxruntime.InferenceSession, precision: str, n: int, device: str, runs: int) -> tuple[float, float, float]:
    """Seconds of PyTorch, seconds of ONNX Runtime, and how far apart their outputs are."""
    dtype, taken = DTYPES[precision]
    image = torch.randn(n, 3, encoder.img_size, encoder.img_size, generator=torch.Generator().manual_seed(1)).to(device, dtype)
    expected = encoder(image).float()
    given = image.to(taken)
    found = torch.full_like(expected, torch.nan)
    # Where the tensors lie; no copies.
    binding = made.io_binding()
    binding.bind_input("image", device, 0, ELEMENTS[taken], tuple(given.shape), given.data_ptr())
    binding.bind_output("image_embeddings", device, 0, numpy.float32, tuple(found.shape), found.data_ptr())
    eager = seconds(lambda: encoder(image), device, runs)
    exported = seconds(lambda: made.run_with_iobinding(binding), device, runs)
    return eager, exported, float((found - expected).abs().max() / expected.abs().max())


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=sam.PACKAGES, default=["vit_h", "vit_b"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 10], help="images in a run")
    parser.add_argument("--runs", type=int, default=5, help="of which the median counts")
    parser.add_argument("--device", choices=PROVIDERS, default="cuda")
    args = parser.parse_args(arguments)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    name = torch.cuda.get_device_name() if args.device == "cuda" else "a CPU"
    print(f"SAM's image encoder with random weights on {name}: PyTorch {torch.__version__}, eager, and ONNX Runtime "
          f"{onnxruntime.__version__}; images on the device, TF32 off, median of {args.runs} runs.\n\n"
          "| model | precision | images in a run | PyTorch, images/s | ONNX Runtime, images/s | times as fast | largest relative difference |\n"
          "|---|---|---|---|---|---|---|")
    for model in args.models:
        with tempfile.TemporaryDirectory() as folder:
            encoder = export(model, pathlib.Path(folder), args.device)
            for precision, (dtype, _) in DTYPES.items():
                module = copy.deepcopy(encoder).to(args.device, dtype)
                made = session(pathlib.Path(folder) / f"{precision}.onnx", args.device)
                for n in args.batches:
                    eager, exported, difference = compare(module, made, precision, n, args.device, args.runs)
                    print(f"| {model} | {precision} | {n} | {n / eager:.2f} | {n / exported:.2f} | {eager / exported:.2f} | {difference:.1e} |",
                          flush=True)
                    if not difference <= TOLERANCE[precision]:
                        sys.exit(f"error: {model}, {precision}: ONNX Runtime differs from PyTorch by more than {TOLERANCE[precision]:.1e}")
                del made, module


if __name__ == "__main__":
    main()

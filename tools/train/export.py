"""Writes what RUN trained as ONNX files, checked against PyTorch, beside what it did not train, and manifest.json.

    python export.py RUN -o ../../models/small [--rest FOLDER]
"""

import argparse
import hashlib
import json
import pathlib
import shutil
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import detector
import lite0
import segmenter
from backbone import ConvNorm
from vocabulary import PART_NAMES, Tokenizer, build_vocabulary

OPSET = 18
LARGE = 65_536


def fuse(model):
    """Batch norms go into their convolutions."""
    for module in model.modules():
        if isinstance(module, ConvNorm):
            module.conv, module.norm = fuse_conv_bn_eval(module.conv, module.norm), nn.Identity()
    return model


def load(run, file, modules):
    """Gives modules, by their names in RUN's checkpoint, its averaged weights, in eval mode."""
    weights = torch.load(run / file, weights_only=True, map_location="cpu")["average"]
    for name, module in modules(weights).items():
        module.load_state_dict({k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")})
        yield fuse(module.eval()).requires_grad_(False)


def in_eight_bits(name, shape):
    """Whether these weights are stored in 8 bits: the large products of Lite0, nearly all of its parameters."""
    return "backbone.stages." in name and len(shape) == 4 and shape[1] > 1 and np.prod(shape) >= LARGE


def quantised(weights):
    """Integers of -127 to 127 and the step of each output channel, [O, 1, 1, 1]."""
    step = np.maximum(np.abs(weights).max((1, 2, 3), keepdims=True), 1e-12) / np.float32(127)
    return np.rint(weights / step).astype(np.int8), step.astype(np.float32)


def shrink(path, sizes):
    """Weights of 256 numbers and more as fp16 followed by a Cast, some as int8 followed by a Cast and a product with their
    steps: a half or a quarter of the file, the same fp32 arithmetic. `sizes` gives the shape of each output, its dynamic
    dimensions by name."""
    model = onnx.load(path)
    for output in model.graph.output:
        for dim, size in zip(output.type.tensor_type.shape.dim, sizes[output.name]):
            if isinstance(size, int):
                dim.dim_value = size
    casts = []
    for tensor in list(model.graph.initializer):
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) >= 256:
            name, values = tensor.name, onnx.numpy_helper.to_array(tensor)
            if in_eight_bits(name, values.shape):
                whole, step = quantised(values)
                tensor.CopyFrom(onnx.numpy_helper.from_array(whole, name + "_i8"))
                model.graph.initializer.append(onnx.numpy_helper.from_array(step, name + "_step"))
                casts += [onnx.helper.make_node("Cast", [name + "_i8"], [name + "_whole"], to=onnx.TensorProto.FLOAT),
                          onnx.helper.make_node("Mul", [name + "_whole", name + "_step"], [name])]
            else:
                tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), name + "_f16"))
                casts.append(onnx.helper.make_node("Cast", [name + "_f16"], [name], to=onnx.TensorProto.FLOAT))
    nodes = casts + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def round_weights(model):
    """What `shrink` does to the file, done to the module, so that the two can be compared."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if in_eight_bits(name, tensor.shape):
            whole, step = quantised(tensor.numpy())
            tensor.data = torch.from_numpy(whole.astype(np.float32) * step)
        elif tensor.is_floating_point() and tensor.numel() >= 256:
            tensor.data = tensor.data.half().float()


def export(model, path, examples, outputs, dynamic, shapes):
    """Exports `model` with inputs `examples` {name: tensor}; `shapes` are other inputs on which ONNX Runtime must agree."""
    round_weights(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, tuple(examples.values()), path, input_names=list(examples), output_names=outputs,
                          dynamic_axes=dynamic, opset_version=OPSET, dynamo=False)
    results = model(*examples.values())
    results = results if isinstance(results, tuple) else (results,)
    shrink(path, {n: [dynamic[n].get(axis, size) for axis, size in enumerate(r.shape)] for n, r in zip(outputs, results)})
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = 0.0
    for inputs in [examples, *shapes]:
        expected = model(*inputs.values())
        expected = expected if isinstance(expected, tuple) else (expected,)
        for a, b in zip(session.run(outputs, {k: v.numpy() for k, v in inputs.items()}), expected):
            assert a.shape == tuple(b.shape), (path.name, a.shape, b.shape)
            worst = max(worst, float((torch.from_numpy(a) - b).abs().max() / b.abs().max().clamp(min=1)))
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, worst relative difference from PyTorch {worst:.1e}")
    assert worst < 1e-3, path.name


# What is trained together, and its files.
FILES = {"detector": ["text_encoder.onnx", "grounding_detector.onnx", "vocab.txt", "NOTICE"],
         "segmenter": ["sam_encoder.onnx", "sam_decoder.onnx"], "points": ["sam_points.onnx"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("-o", "--out", type=pathlib.Path, required=True)
    parser.add_argument("--shift", type=float, default=0.0, help="added to every token logit, so that 0.5 is a good score threshold")
    parser.add_argument("--nms", type=float, default=0.6, help="IoU above which the weaker of two boxes of one part goes")
    parser.add_argument("--point-gain", type=float, default=1.0, help="of the logits at points, so that good masks are stable")
    parser.add_argument("--point-shift", type=float, default=0.0, help="added to the IoU logit at points, so that 0.88 is a good threshold")
    parser.add_argument("--rest", type=pathlib.Path, default=pathlib.Path("models/small"), help="folder of what RUN did not train")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    rest = args.rest / "manifest.json"
    rules = json.loads(rest.read_text())["detector"] if rest.exists() else None
    trained = {name for name in FILES if (args.run / f"{name}.pt").exists()}
    for name, files in FILES.items():
        if name in trained:
            found = EXPORTS[name](args)
            rules = found or rules
        elif name == "points" and "segmenter" in trained:
            # They were answered from the embeddings of another encoder.
            (args.out / "sam_points.onnx").unlink(missing_ok=True)
        elif args.out.resolve() != args.rest.resolve():
            for file in filter(lambda file: (args.rest / file).exists(), files):
                shutil.copyfile(args.rest / file, args.out / file)
    if rules is None:
        parser.error(f"{args.run} has no detector.pt and {args.rest} no manifest.json")
    write_manifest(args.out, rules)


def export_detector(args):
    """Returns the rules of the manifest."""
    vocabulary = build_vocabulary()

    def modules(weights):
        return {"text": detector.TextEncoder(len(vocabulary), Tokenizer(vocabulary).ids["."]),
                "detector": detector.GroundingDetector(detector.trunk_of(weights))}
    text, ground = load(args.run, "detector.pt", modules)
    ground.bias.data += args.shift
    (args.out / "vocab.txt").write_text("\n".join(vocabulary) + "\n")

    def tokens(t, length):
        ids, mask = torch.randint(6, len(vocabulary), (t, length)), torch.ones(t, length, dtype=torch.int64)
        ids[:, 2::3] = text.dot
        mask[-1, length - 2:], ids[-1, length - 2:] = 0, 0
        return {"input_ids": ids, "attention_mask": mask}
    export(text, args.out / "text_encoder.onnx", tokens(2, 9), ["text_hidden"],
           {"input_ids": {0: "T", 1: "L"}, "attention_mask": {0: "T", 1: "L"}, "text_hidden": {0: "T", 1: "L"}}, [tokens(1, 14)])

    def scene(n, length):
        mask = torch.ones(n, length, dtype=torch.int64)
        mask[:, length - 1:] = 0
        return {"image": torch.randn(n, 3, 800, 800), "text_hidden": torch.randn(n, length, 768), "text_mask": mask}
    axes = {k: {0: "N", 1: "L"} for k in ("text_hidden", "text_mask")} | {"image": {0: "N"}, "token_logits": {0: "N", 2: "L"}}
    heads = ["token_logits", "box_regression", "centerness", "features"]
    export(ground, args.out / "grounding_detector.onnx", scene(2, 8), heads, axes | {k: {0: "N"} for k in heads[1:]}, [scene(1, 12)])

    trunk, notice = ground.backbone, args.out / "NOTICE"
    notice.unlink(missing_ok=True)
    if isinstance(trunk, lite0.Lite0):
        notice.write_text(lite0.NOTICE)
    return {"kind": "atss", "text_encoder": "text_encoder.onnx", "model": "grounding_detector.onnx",
            "image": {"order": trunk.order, "scale": 255, "mean": trunk.mean, "std": trunk.std, "size": [800, 800],
                      "resize": "shorter", "divisor": 32},
            "text": {"tokenizer": "wordpiece", "vocab": "vocab.txt", "separator": " . ", "max_tokens": 256,
                     "known_parts": PART_NAMES},
            "strides": detector.STRIDES, "anchor_sizes": detector.ANCHOR_SIZES, "box_weights": detector.BOX_WEIGHTS,
            "score": "sqrt_mean_sigmoid_x_centerness", "pre_nms": 0.05, "top_n": 1000, "nms": args.nms, "max_det": 100,
            "feature_dim": 256}


def embeddings(n):
    return torch.randn(n, segmenter.Encoder.channels, 200, 200).relu()


def export_segmenter(args):
    encoder, decoder = load(args.run, "segmenter.pt", lambda _: {"encoder": segmenter.Encoder(), "decoder": segmenter.Decoder()})
    export(encoder, args.out / "sam_encoder.onnx", {"image": torch.randn(2, 3, 800, 800)}, ["image_embeddings"],
           {"image": {0: "N"}, "image_embeddings": {0: "N"}}, [{"image": torch.randn(1, 3, 800, 800)}])

    def prompts(n, b):
        corner = torch.rand(b, 2) * 700
        boxes = torch.cat([corner, corner + torch.rand(b, 2) * 99], 1)
        return {"image_embeddings": embeddings(n), "boxes": boxes, "image_index": torch.randint(0, n, (b,))}
    export_decoder(decoder, args.out / "sam_decoder.onnx", prompts, "B")


def export_points(args):
    decoder, = load(args.run, "points.pt", lambda _: {"points": segmenter.PointDecoder()})
    decoder.logit.weight.data *= args.point_gain
    decoder.logit.bias.data *= args.point_gain
    decoder.iou.bias.data += args.point_shift

    def prompts(n, p):
        return {"image_embeddings": embeddings(n), "points": torch.rand(p, 2) * 799, "image_index": torch.randint(0, n, (p,))}
    export_decoder(decoder, args.out / "sam_points.onnx", prompts, "P")


def export_decoder(decoder, path, prompts, axis):
    examples, outputs = prompts(2, 3), ["low_res_logits", "iou"]
    dynamic = {name: {0: axis} for name in [*examples, *outputs]} | {"image_embeddings": {0: "N"}}
    export(decoder, path, examples, outputs, dynamic, [prompts(1, 7), prompts(3, 1)])


EXPORTS = {"detector": export_detector, "segmenter": export_segmenter, "points": export_points}


def write_manifest(out, rules):
    """`rules`: of the detector."""
    points = {"points": "sam_points.onnx"} if (out / "sam_points.onnx").exists() else {}
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest()
             for p in sorted(out.iterdir()) if p.suffix in (".onnx", ".txt")}
    manifest = {
        "version": 1, "name": "small", "stand_in": True,
        "detector": rules,
        "segmenter": {
            "encoder": "sam_encoder.onnx", "decoder": "sam_decoder.onnx", **points,
            "image": {"order": "rgb", "scale": 255, "mean": segmenter.MEAN_RGB, "std": segmenter.STD_RGB,
                      "size": [segmenter.SIZE, segmenter.SIZE], "resize": "longer"},
            "embedding": [segmenter.Encoder.channels, segmenter.SIZE // segmenter.STRIDE]},
        "files": files,
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()

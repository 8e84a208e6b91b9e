"""Tests of the training: `python tools/train/tests.py`, from the repository's root. Two minutes of a core; lite0.py's package
is fetched."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import torch
from torch.nn import functional as F

import augment
import detector
import export
import exported
import judge
import lite0
import losses
from dataset import Dataset, detector_batch, weights
from vocabulary import Tokenizer, build_vocabulary

HERE = pathlib.Path(__file__).parent
SMALL = HERE.parents[1] / "models" / "small"
# Means of the four levels for `pattern`, as timm 1.0.31's tf_efficientnet_lite0 has them (differences up to 2e-6).
FEATURES = (0.458824, -0.670123, 0.0857392, 0.476876)


def pattern():
    """An image that needs no file."""
    y, x = torch.meshgrid(torch.arange(256.0), torch.arange(192.0), indexing="ij")
    return torch.stack([(x / 9).sin(), (y / 7).cos(), (x * y / 999).sin()])[None]


def write_dataset(folder, count=6):
    """Images of two coloured boxes on white, in the format of `procedural dataset`."""
    random = np.random.default_rng(0)
    images, instances = np.full((count, 800, 800, 3), 254, np.uint8), np.zeros((count, 800, 800), np.uint8)
    for image, codes in zip(images, instances):
        for code in (1, 2):
            y, x = random.integers(100, 500, 2)
            image[y:y + 120, x:x + 80], codes[y:y + 120, x:x + 80] = random.integers(0, 200, 3), code
    index = [{"category": "Made", "seed": k, "parts": ["door", "handle"], "instances": [{"label": 0}, {"label": 1}]} for k in range(count)]
    np.save(folder / "images.npy", images)
    np.save(folder / "instances.npy", instances)
    (folder / "index.json").write_text(json.dumps(index))


class TestLite0(unittest.TestCase):
    def test_the_package_holds_the_weights_of_imagenet(self):
        trunk = lite0.Lite0().eval()
        trunk.load_state_dict(lite0.renamed(lite0.fetched()))
        with torch.no_grad():
            means = [float(x.mean()) for x in trunk(pattern())]
        np.testing.assert_allclose(means, FEATURES, rtol=1e-4)

    def test_its_norms_are_computed_within_the_convolutions(self):
        torch.manual_seed(0)
        layer = lite0.LiteConv(8, 8, 5, 2, groups=8)
        torch.nn.init.normal_(layer.norm.running_mean)
        torch.nn.init.uniform_(layer.norm.running_var)
        x = torch.randn(2, 8, 16, 16)
        apart = F.relu6(layer.eval().norm(F.conv2d(F.pad(x, (1, 2, 1, 2)), layer.conv.weight, stride=2, groups=8)))
        torch.testing.assert_close(layer(x), apart, atol=1e-5, rtol=1e-5)

    def test_the_gradients_of_depthwise_convolutions_are_pytorchs(self):
        torch.manual_seed(0)
        for kernel, stride, padding in ((3, 1, 1), (5, 1, 2), (3, 2, 0), (5, 2, 0)):
            x = torch.randn(2, 6, 17, 17, requires_grad=True, dtype=torch.float64)
            weight = torch.randn(6, 1, kernel, kernel, requires_grad=True, dtype=torch.float64)
            theirs = F.conv2d(x, weight, None, stride, padding, groups=6)
            grad = torch.randn_like(theirs)
            expected = torch.autograd.grad(theirs, (x, weight), grad)
            found = torch.autograd.grad(lite0.Depthwise.apply(x, weight, stride, padding), (x, weight), grad)
            for a, b in zip(found, expected):
                torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-5)

    def test_frozen_stages_do_not_learn(self):
        trunk = lite0.Lite0()
        trunk.freeze(2)
        learning = {name.split(".")[1] for name, p in trunk.named_parameters() if p.requires_grad}
        self.assertEqual(learning, {"2", "3", "4", "5"})


class TestImages(unittest.TestCase):
    def test_changes_stay_on_the_object_and_hide_labels_only(self):
        random = np.random.default_rng(3)
        image, instances = np.full((3, 96, 96), 254, np.uint8), np.zeros((96, 96), np.uint8)
        image[:, 20:80, 30:70], instances[20:80, 30:70] = 90, 4
        changed, codes = image.copy(), instances.copy()
        augment.see_through(changed, codes, random)
        outside = instances == 0
        np.testing.assert_array_equal(changed[:, outside], image[:, outside])
        moved = codes != instances
        self.assertGreater(moved.sum(), 50)
        self.assertLessEqual(set(codes[moved]), {augment.UNLABELLED, augment.NOTHING})
        np.testing.assert_array_equal(changed[:, ~moved], image[:, ~moved])
        augment.recolour(changed, codes, random)
        np.testing.assert_array_equal(changed[:, codes == 0], np.full((3, (codes == 0).sum()), 254))

    def test_a_step_has_one_batch_and_processes_share_it(self):
        with tempfile.TemporaryDirectory() as folder:
            write_dataset(pathlib.Path(folder))
            data, tokenizer = Dataset(folder), Tokenizer(build_vocabulary())

            def batch(step, rank, share):
                return detector_batch(data, tokenizer, np.random.default_rng([0, step, rank]), share)
            torch.testing.assert_close(batch(3, 0, 1)[0], batch(3, 0, 1)[0], rtol=0, atol=0)
            self.assertEqual(len(batch(3, 0, 0.5)[0]), (len(batch(3, 0, 1)[0]) + 1) // 2)
            self.assertFalse(torch.equal(batch(3, 0, 0.5)[0], batch(3, 1, 0.5)[0]))


    def test_rare_parts_come_more_often(self):
        shown = [{"leg"}] * 90 + [{"leg", "wheel"}] * 9 + [set()]
        self.assertEqual(list(weights(shown)), [1.0] * 90 + [(10 / 9) ** 0.5] * 9 + [0.5])
        self.assertEqual(weights([{"leg"}] * 1000 + [{"key"}]).max(), 4.0)


class TestExport(unittest.TestCase):
    def test_weights_of_both_trunks_come_back(self):
        for trunk in detector.TRUNKS:
            torch.manual_seed(0)
            vocabulary = build_vocabulary()
            dot = Tokenizer(vocabulary).ids["."]
            model = torch.nn.ModuleDict({"text": detector.TextEncoder(len(vocabulary), dot), "detector": detector.GroundingDetector(trunk)})
            for module in model.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
                    torch.nn.init.normal_(module.running_mean, std=0.1)
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                torch.save({"average": model.state_dict()}, folder / "detector.pt")
                subprocess.run([sys.executable, HERE / "export.py", folder, "-o", folder / "out"], check=True, stdout=subprocess.DEVNULL)
                self.assertEqual((folder / "out" / "NOTICE").exists(), trunk == "lite0")
                self.assertEqual(exported.trunk(folder / "out"), trunk)
                again = torch.nn.ModuleDict({"text": detector.TextEncoder(len(vocabulary), dot), "detector": detector.GroundingDetector(trunk)})
                exported.restore(again.eval(), folder / "out")
            module = export.fuse(model["detector"].eval()).requires_grad_(False)
            export.round_weights(module)
            text, mask = torch.randn(1, 7, detector.TEXT_WIDTH), torch.ones(1, 7, dtype=torch.int64)
            with torch.no_grad():
                for a, b in zip(module(pattern(), text, mask), again["detector"](pattern(), text, mask)):
                    torch.testing.assert_close(a, b, atol=2e-3, rtol=2e-3)


class TestTraining(unittest.TestCase):
    def test_two_processes_go_on_where_they_stopped_as_if_they_had_not(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            write_dataset(folder)

            def train(run, *more):
                command = [sys.executable, HERE / "train.py", "detector", folder, "-o", folder / run, "--steps", "4",
                           "--processes", "2", *more]
                return subprocess.run(command, capture_output=True, text=True)
            whole, first, rest = train("whole"), train("broken", "--until", "2"), train("broken")
            for run in (whole, first, rest):
                self.assertEqual(run.returncode, 0, run.stderr)
            self.assertEqual(json.loads(first.stdout.splitlines()[-1])["step"], 2)
            a, b = (torch.load(folder / run / "detector.pt", weights_only=True)["average"] for run in ("whole", "broken"))
            for name, tensor in a.items():
                torch.testing.assert_close(tensor, b[name], rtol=0, atol=0, msg=name)
            further = train("further", "--further", folder / "whole" / "detector.pt")
            self.assertEqual(further.returncode, 0, further.stderr)
            self.assertLess(json.loads(further.stdout.splitlines()[-1])["label"], json.loads(whole.stdout.splitlines()[-1])["label"])
            other = train("whole", "--rate", "0.1")
            self.assertNotEqual(other.returncode, 0)
            self.assertIn("settings", other.stderr)


class TestPoints(unittest.TestCase):
    def test_answers_begin_as_those_to_boxes_and_are_exported_beside_the_rest(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            write_dataset(folder)
            subprocess.run([sys.executable, HERE / "train.py", "points", folder, "-o", folder / "run", "--steps", "3",
                            "--start", SMALL], check=True, stdout=subprocess.DEVNULL)
            subprocess.run([sys.executable, HERE / "export.py", folder / "run", "-o", folder / "out", "--rest", SMALL,
                            "--point-gain", "2"], check=True, stdout=subprocess.DEVNULL)
            for file in ("sam_encoder.onnx", "sam_decoder.onnx", "grounding_detector.onnx", "vocab.txt"):
                self.assertEqual((folder / "out" / file).read_bytes(), (SMALL / file).read_bytes(), file)
            manifests = [json.loads((f / "manifest.json").read_text()) for f in (folder / "out", SMALL)]
            self.assertEqual(*(m["detector"] for m in manifests))
            self.assertEqual(*(m["segmenter"] for m in manifests))
            points, boxes = (exported.weights(f / file) for f, file in ((folder / "out", "sam_points.onnx"), (SMALL, "sam_decoder.onnx")))
            self.assertEqual(points.keys(), boxes.keys())
            # Three steps leave them alike.
            pair = torch.stack([w["first.conv.weight"].flatten() for w in (points, boxes)])
            self.assertGreater(torch.corrcoef(pair)[0, 1], 0.5)
            self.assertFalse(torch.equal(*pair))

    def test_a_window_that_shows_little_of_an_instance_knows_it(self):
        instances = torch.zeros(1, 64, 64, dtype=torch.uint8)
        instances[0, 8:40, 8:40] = 1
        windows = torch.tensor([[[0.0, 0.0, 64.0, 64.0], [8.0, 8.0, 24.0, 24.0]]])
        code, index = torch.tensor([1], dtype=torch.uint8), torch.tensor([0])
        read, outside = losses.cells(instances, index.repeat_interleave(2), windows[0], 16)
        logits = torch.where(read() == 1, 9.0, -9.0)[None]

        def quality_loss(*iou):
            return losses.point_loss(logits, torch.logit(torch.tensor([iou])), windows, index, instances, code)[1]["iou"]
        # The first window shows all of it, the second a quarter.
        self.assertLess(quality_loss(0.99, 0.25), quality_loss(0.99, 0.5))
        self.assertLess(quality_loss(0.99, 0.25), quality_loss(0.5, 0.25))


class TestJudge(unittest.TestCase):
    def test_ap50_counts_an_object_as_often_as_it_was_drawn(self):
        # Object 1: a hit. Object 2: a false box above a missed one.
        rows, truths = {"leg": np.array([(1, 0.9, 1), (2, 0.95, 0)])}, {"leg": np.array([(1, 1), (2, 1)])}
        self.assertEqual(judge.by_part(rows, truths, {1: 1, 2: 1})["leg"], 0.25)
        self.assertEqual(judge.by_part(rows, truths, {1: 2, 2: 0})["leg"], 1.0)
        self.assertTrue(np.isnan(judge.by_part(rows, truths, {1: 0, 2: 0})["leg"]))


if __name__ == "__main__":
    unittest.main()

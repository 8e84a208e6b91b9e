"""What Python gives is what the program writes."""

import json

import numpy as np
import pytest
from conftest import BOXES, CLOUD, FOLDER, PARTS, program

import partstad


def same(found, folder):
    for name in ["labels", "instances", "superpoints", "scores"]:
        written, here = np.load(folder / f"{name}.npy"), getattr(found, name)
        assert here.dtype == written.dtype and here.shape == written.shape, name
        assert np.array_equal(here, written), name
    boxes = json.loads((folder / "boxes.json").read_text())
    assert [box["image_id"] for box in boxes] == found.boxes.view.tolist()
    assert [box["category_id"] for box in boxes] == (found.boxes.part + 1).tolist()
    assert np.array_equal(np.float32([box["bbox"] for box in boxes]).reshape(-1, 4), found.boxes.box)
    assert np.array_equal(np.float32([box["score"] for box in boxes]), found.boxes.score)


def test_segment(pipeline, cloud, tmp_path):
    options = tmp_path / "options.json"
    options.write_text(json.dumps({"views": {"side": 400}}))
    run = program("segment", CLOUD, "--parts", ",".join(PARTS), "--options", options, "-o", tmp_path / "out")
    found = pipeline.segment(*cloud, PARTS)
    assert len(found.boxes) > 0 and (found.labels >= 0).any()
    same(found, tmp_path / "out")
    same(pipeline.segment(CLOUD, parts=",".join(PARTS)), tmp_path / "out")
    summary = pipeline.segment(CLOUD, parts=PARTS).summary()
    for name in ["cloud", "points", "parts", "instances", "views", "boxes"]:
        assert summary[name] == run[name], name
    assert summary["parameters"]["options"] == run["parameters"]["options"]
    assert summary["parameters"]["models"]["files"] == run["parameters"]["models"]["files"]
    # The program names its flags where the library names options.
    assert len(summary["warnings"]) == len(run["warnings"]) and "stand-in" in summary["warnings"][0]


def test_segment_unnamed(pipeline, cloud, tmp_path):
    options = tmp_path / "options.json"
    options.write_text(json.dumps({"views": {"side": 400}}))
    run = program("segment", CLOUD, "--unnamed", "--options", options, "-o", tmp_path / "out")
    found = pipeline.segment_unnamed(*cloud)
    same(found, tmp_path / "out")
    assert found.parts[0] == "part 1" and len(found.parts) == len(run["parts"]) > 1
    # Each part is one instance.
    assert {instance["label"] for instance in run["instances"]} == set(range(len(run["instances"])))
    assert np.array_equal(found.labels, found.instances)
    assert found.summary()["parameters"]["options"] == run["parameters"]["options"] and run["parameters"]["unnamed"]


def test_lift_with_masks_superpoints_and_weights(lifter, cloud, tmp_path):
    masks = np.unpackbits(np.load(FOLDER / "sam_mask_packed.npz")["packed"], axis=1)
    masks = masks.reshape(-1, 800, 800).astype(bool)
    superpoints = np.load(FOLDER / "superpoint_label.npy")
    weights = np.linspace(1, 20, len(masks), dtype=np.float32)
    np.savez(tmp_path / "masks.npz", mask=masks)
    np.save(tmp_path / "weights.npy", weights)
    program(
        "lift", CLOUD, "--boxes", BOXES, "--masks", tmp_path / "masks.npz", "--superpoints",
        FOLDER / "superpoint_label.npy", "--box-weights", tmp_path / "weights.npy", "--parts", ",".join(PARTS),
        "-o", tmp_path / "out",
    )
    found = lifter.lift(*cloud, PARTS, BOXES, masks, superpoints=superpoints, weights=weights)
    same(found, tmp_path / "out")
    assert np.array_equal(found.masks, masks)
    boxes = json.loads(BOXES.read_text())
    same(lifter.lift(*cloud, PARTS, boxes, masks[:, None], superpoints=superpoints, weights=weights), tmp_path / "out")
    arrays = partstad.Boxes(
        [box["image_id"] for box in boxes],
        [box["category_id"] - 1 for box in boxes],
        [box["bbox"] for box in boxes],
        [box["score"] for box in boxes],
    )
    logits = np.where(masks, 2.5, -1.0).astype(np.float32)
    same(lifter.lift(*cloud, PARTS, arrays, logits, superpoints=superpoints, weights=weights), tmp_path / "out")
    again = lifter.lift(*cloud, PARTS, found.boxes, found.masks, superpoints=superpoints, weights=weights)
    same(again, tmp_path / "out")


def test_lift(lifted, cloud, tmp_path):
    program("lift", CLOUD, "--boxes", BOXES, "--parts", ",".join(PARTS), "-o", tmp_path)
    same(lifted, tmp_path)
    same(partstad.lift(*cloud, PARTS, str(BOXES)), tmp_path)


def test_views(cloud, lifted, tmp_path):
    program("render", CLOUD, "-o", tmp_path)
    views = partstad.render(*cloud)
    for found in (views, lifted.views):
        assert np.array_equal(found.pixel_to_point, np.load(tmp_path / "pixel_to_point.npy"))
        assert np.array_equal(found.screen, np.load(tmp_path / "screen.npy"))
    assert views.images.shape == (10, 800, 800, 3) and views.images.dtype == np.uint8
    assert views.cameras == json.loads((tmp_path / "cameras.json").read_text())
    assert views.images[0, 0, 0].tolist() == [254, 254, 254] and len(views) == 10


def test_superpoints(cloud, lifted, tmp_path):
    program("superpoints", CLOUD, "-o", tmp_path / "sp.npy", "--lambda", "0.2")
    found = partstad.superpoints(*cloud, superpoints={"lambda": 0.2})
    assert np.array_equal(found, np.load(tmp_path / "sp.npy")) and found.dtype == np.int32
    assert not np.array_equal(found, lifted.superpoints)


def cube(path):
    corners = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    faces = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]
    lines = [f"v {x} {y} {z} {x} {y} {z}" for x, y, z in corners] + ["f %d %d %d %d" % face for face in faces]
    path.write_text("\n".join(lines) + "\n")


def test_meshes(tmp_path):
    cube(tmp_path / "cube.obj")
    boxes = [
        {"image_id": view, "category_id": 1, "bbox": [200, 100, 400, 300], "score": 0.9} for view in range(10)
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    options = tmp_path / "options.json"
    options.write_text(json.dumps({"mesh": {"points": 5000}}))
    program(
        "lift", tmp_path / "cube.obj", "--boxes", tmp_path / "boxes.json", "--parts", "top", "--options", options,
        "-o", tmp_path / "out",
    )
    mesh = partstad.Mesh.read(tmp_path / "cube.obj")
    assert len(mesh) == 6 and mesh.vertices.shape == (8, 3) and mesh.triangles.shape == (12, 3)
    assert mesh.face_of.tolist() == [face for face in range(6) for _ in range(2)]
    pipeline = partstad.Pipeline(None, mesh={"points": 5000})
    found = pipeline.lift(mesh, parts=["top"], boxes=boxes, name="cube.obj")
    same(found, tmp_path / "out")
    labels, instances = found.faces()
    assert np.array_equal(labels, np.load(tmp_path / "out" / "faces.npy"))
    assert np.array_equal(instances, np.load(tmp_path / "out" / "face-instances.npy"))
    found.write(tmp_path / "here")
    for name in ["segmentation.glb", "segmentation-mesh.ply", "parts.json"]:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name

    points, colors = mesh.sample(points=5000)
    drawn = pipeline.lift(points, colors, ["top"], boxes)
    same(drawn, tmp_path / "out")
    assert np.array_equal(drawn.faces(mesh)[0], labels)
    with pytest.raises(partstad.InvalidError, match="no mesh"):
        drawn.faces()
    mesh.sample(points=5000, seed=1)
    with pytest.raises(partstad.OutOfMemoryError):
        mesh.sample(points=10**9)
    with pytest.raises(partstad.InvalidError, match="not drawn on this mesh"):
        drawn.faces(mesh)
    with pytest.raises(partstad.InvalidError, match="colours of its own"):
        pipeline.lift(mesh, colors, ["top"], boxes)


def test_evaluate(lifted, cloud, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name in "ab":
        (data / f"{name}.ply").write_bytes(CLOUD.read_bytes())
        np.save(data / f"{name}.labels.npy", lifted.labels)
        predictions = tmp_path / "predictions" / "test" / "chair" / name
        predictions.mkdir(parents=True)
        (predictions / "pred.json").write_bytes(BOXES.read_bytes())
    program("dataset", "init", data, "--category", "chair", "--parts", ",".join(PARTS), "--test", "1")
    predictions = tmp_path / "predictions"
    told = program("evaluate", data, "--method", "partslip", "--predictions", predictions, "-o", tmp_path / "out")
    found = partstad.evaluate(data, methods=["partslip"], predictions=predictions, out=tmp_path / "here")
    for name in ["figures", "objects", "failures", "parts"]:
        assert found[name] == told[name], name
    assert len(found["objects"]) == 1 and found["objects"][0]["miou"][0] > 0.5
    assert (tmp_path / "here" / "results.csv").read_bytes() == (tmp_path / "out" / "results.csv").read_bytes()
    assert found["about"]["splits"] == ["test"]
    # Told before anything is computed: these predictions are nowhere.
    with pytest.raises(partstad.FormatError, match="a.ply: is a file"):
        partstad.evaluate(data, predictions=tmp_path / "nowhere", out=data / "a.ply")
    with pytest.raises(partstad.InvalidError, match="no category \"sofa\""):
        partstad.evaluate(data, categories=["sofa"], predictions=predictions)
    with pytest.raises(partstad.NotFoundError):
        partstad.evaluate(tmp_path / "nowhere", predictions=predictions)


def test_read_gives_what_the_file_holds(cloud, tmp_path):
    points, colors = cloud
    assert points.shape == colors.shape == (8000, 3) and points.dtype == np.float64 and colors.dtype == np.float32
    np.save(tmp_path / "plain.npy", points)
    again, none = partstad.read(str(tmp_path / "plain.npy"))
    assert none is None and np.array_equal(again, points)


def test_written_folders_are_the_program_s(lifted, tmp_path):
    program("lift", CLOUD, "--boxes", BOXES, "--parts", ",".join(PARTS), "-o", tmp_path / "out")
    lifted.write(tmp_path / "here")
    for name in ["labels.npy", "scores.npy", "boxes.json", "segmentation.ply"]:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name
    lifted.report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<html" in page and "wheel" in page
    notebook = lifted._repr_html_()
    assert notebook.startswith("<iframe") and notebook.count('"') == 6 and "&lt;" not in notebook[:60]

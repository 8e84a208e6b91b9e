"""What is taken, and what is refused by name."""

import pickle

import numpy as np
import pytest
from conftest import BOXES, PARTS

import partstad


@pytest.fixture(scope="module")
def usual(cloud, lifter):
    return lifter.superpoints(*cloud)


def unaligned(array):
    raw = np.empty(array.nbytes + 1, np.uint8)[1:]
    out = raw.view(array.dtype).reshape(array.shape)
    out[:] = array
    assert not out.flags.aligned
    return out


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.astype(a.dtype.newbyteorder()),
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=0)[::2],
        lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
        unaligned,
        lambda a: np.stack([a, a], axis=2)[:, :, 0],
        lambda a: a.astype(np.longdouble),
        lambda a: a.view(np.matrix),
        lambda a: a.tolist(),
        lambda a: memoryview(np.ascontiguousarray(a)),
        lambda a: OnlyDlpack(a),
        lambda a: OnlyArray(a),
    ],
)
def test_the_same_numbers_give_the_same(cloud, usual, lifter, change):
    points, colors = cloud
    assert np.array_equal(lifter.superpoints(change(points), change(colors)), usual)


class OnlyDlpack:
    def __init__(self, array):
        self.array = np.array(array)

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class OnlyArray:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype=dtype)


class OnDevice:
    """As PyTorch's, CuPy's and Numba's arrays on a device look."""

    __cuda_array_interface__ = {"shape": (1,), "typestr": "<f4", "data": (1, True), "version": 3}

    def __init__(self, array, method):
        setattr(self, method, lambda: array)

    def __dlpack_device__(self):
        return (2, 0)


@pytest.mark.parametrize("method", ["cpu", "get", "copy_to_host"])
def test_arrays_of_a_device_come_by_their_own_library(cloud, usual, lifter, method):
    assert np.array_equal(lifter.superpoints(*(OnDevice(array, method) for array in cloud)), usual)


def test_units_of_colors(cloud, lifter):
    points, colors = cloud
    whole = np.rint(colors * 255).astype(np.uint8)
    usual = lifter.superpoints(points, whole)
    for same in [whole.astype(np.uint16), whole.astype(np.int64), whole.astype(np.float32), whole.tolist()]:
        assert np.array_equal(lifter.superpoints(points, same), usual)
    assert np.array_equal(lifter.superpoints(points, whole.astype(np.float32) / np.float32(255)), usual)
    assert np.array_equal(lifter.superpoints(points, whole.astype(np.uint16) * 257), usual)


def test_positions_of_other_types(cloud, lifter):
    points, colors = cloud
    for dtype in [np.float16, np.float32]:
        narrow = points.astype(dtype)
        assert np.array_equal(lifter.superpoints(narrow, colors), lifter.superpoints(narrow.astype(np.float64), colors))
    whole = np.rint(points * 1000).astype(np.int32)
    assert np.array_equal(lifter.superpoints(whole, colors), lifter.superpoints(whole.astype(np.float64), colors))


@pytest.mark.parametrize(
    "points, message",
    [
        # The colours are five, or as few as the points.
        (np.zeros(3), r"points have shape \[3\]; they must be \[N, 3\]"),
        (np.zeros((5, 4)), r"points have shape \[5, 4\]"),
        (np.zeros((3, 5)).T[:, :2], r"points have shape \[5, 2\]"),
        (np.zeros((2, 5, 3)), r"points have shape \[2, 5, 3\]"),
        (np.float64(1), r"points have shape \[\]"),
        ([], r"points have shape \[0\]"),
        (np.zeros((0, 3)), "the cloud has no points"),
        (np.zeros((5, 3), complex), "points have dtype complex128; give numbers"),
        (np.zeros((5, 3), bool), "points have dtype bool; give numbers"),
        (np.array([["a"] * 3] * 5), "points have dtype <U1"),
        (np.array([[None] * 3] * 5), "points have dtype object"),
        (np.zeros((5, 3), "datetime64[s]"), "points have dtype datetime64"),
        ([[1, 2, 3], [1, 2]], "points cannot be read as an array"),
        (object(), "points have dtype object"),
        (np.ma.masked_array(np.zeros((5, 3)), mask=True), "points: some values are masked"),
        (np.full((5, 3), np.nan), "none of the 5 points is finite"),
    ],
)
def test_points_that_are_none(lifter, points, message):
    rows = 0 if isinstance(points, np.ndarray) and points.shape[:1] == (0,) else 5
    with pytest.raises(partstad.InvalidError, match=message):
        lifter.superpoints(points, np.full((rows, 3), 0.5))


@pytest.mark.parametrize(
    "colors, message",
    [
        (np.zeros((99, 3)), "there are 100 points but 99 colors"),
        (np.zeros((100, 4)), r"colors have shape \[100, 4\]"),
        (np.full((100, 3), -1.0), "point 0 has colour"),
        (np.full((100, 3), 300), "point 0 has colour"),
        (np.full((100, 3), np.nan), "none of the 100 points has a place and a colour that are finite"),
        (None, r"no colors are given.*option cloud.colors"),
    ],
)
def test_colors_that_are_none(small, lifter, colors, message):
    with pytest.raises(partstad.InvalidError, match=message):
        lifter.superpoints(small[0], colors)


def test_rows_that_are_not_finite_have_no_part(small, lifter):
    points, colors = small
    broken = points.copy()
    broken[[3, 50], [0, 2]] = np.nan, np.inf
    found = lifter.lift(broken, colors, ["a"], [])
    assert len(found) == 100 and found.labels.shape == (100,)
    assert found.superpoints[[3, 50]].tolist() == [-1, -1] and (np.delete(found.superpoints, [3, 50]) >= 0).all()
    assert np.isnan(found.views.screen[:, [3, 50]]).all() and not (found.views.pixel_to_point == 3).any()
    assert "2 of 100 rows are not finite" in found.warnings[0]


def test_greys_need_no_colors(small):
    found = partstad.superpoints(small[0], cloud={"colors": "grey"})
    assert found.shape == (100,)


def test_one_point(lifter):
    assert lifter.superpoints([[1, 2, 3]], [[0.1, 0.2, 0.3]]).tolist() == [0]


@pytest.mark.parametrize(
    "parts, message",
    [
        (None, "no part names"),
        ([], "no part names"),
        ("", "part name 0 is empty"),
        (["leg", " "], "part name 1 is empty"),
        (["leg", "LEG"], "named twice"),
        ([1], "parts must be names"),
        (5, "parts must be names"),
        (["a\ud800"], "parts must be names"),
    ],
)
def test_parts_that_are_none(pipeline, lifter, small, parts, message):
    with pytest.raises(partstad.InvalidError, match=message):
        lifter.lift(*small, parts, [])
    with pytest.raises(partstad.InvalidError, match=message):
        pipeline.segment(*small, parts)


def boxes(**change):
    whole = {"view": [0], "part": [0], "box": [[1.0, 2, 300, 400]], "score": [0.5]} | change
    return partstad.Boxes(**whole)


def coco(id, name):
    return {
        "images": [{"id": 0, "file_name": "3.png"}],
        "categories": [{"id": id, "name": name}],
        "annotations": [{"image_id": 0, "category_id": id, "bbox": [10, 10, 200, 200], "score": 0.9}],
    }


@pytest.mark.parametrize(
    "given, message",
    [
        (None, "no boxes"),
        (boxes(view=[10]), r"the view of box 0 is 10, not in 0..=9"),
        (boxes(view=[-1]), "the view of box 0 is -1"),
        (boxes(part=[1]), r"the part of box 0 is 1, not in 0..=0"),
        (boxes(view=[0.5]), "boxes.view have dtype float64; they must be integers"),
        (boxes(view=[0, 1]), "2 of view, 1 of part"),
        (boxes(box=[[1, 2, 3]]), r"boxes.box have shape \[1, 3\]"),
        (boxes(box=[1, 2, 3, 4]), r"boxes.box have shape \[4\]"),
        (boxes(box=[[np.nan, 2, 3, 4]]), "must be finite"),
        (boxes(box=[[5, 2, -3, 4]]), "the sizes not negative"),
        (boxes(box=[[0.1, 0.2, 0.3, 0.4]]), "normalised"),
        (boxes(box=[[700, 700, 800, 900]]), "outside the views of 800"),
        (boxes(score=[1.5]), "scores lie in"),
        (boxes(features=[[1.0], [2.0]]), r"boxes.features have shape \[2, 1\]"),
        ([{"image_id": 10, "category_id": 1, "bbox": [0, 0, 9, 9]}], "image_id is 10"),
        ([{"category_id": 1, "bbox": [0, 0, 9, 9]}], "missing field `image_id`"),
        (coco(1, "a") | {"annotations": [{"image_id": 0, "category_id": 7, "bbox": [0, 0, 9, 9]}]}, "category_id"),
        (coco(1, "banana"), "banana"),
        ([{"image_id": 0, "category_id": 1, "bbox": [0, 0, 9, 9], "score": np.nan}], "boxes: nan is not a finite number"),
        (np.zeros((2, 4)), "boxes: "),
        ([1], "boxes: "),
        ({"a": {1, 2}}, "boxes: "),
    ],
)
def test_boxes_that_are_none(small, lifter, given, message):
    with pytest.raises(partstad.InvalidError, match=message):
        lifter.lift(*small, ["a"], given)


def test_categories_are_told_by_their_names(small, lifter):
    found = lifter.lift(*small, ["leg", "Seat"], coco(1, "seat"))
    assert found.parts == ["leg", "seat"] and found.boxes.part.tolist() == [1] and found.boxes.view.tolist() == [3]
    numbers = {"image_id": np.int64(3), "category_id": 1, "bbox": np.array([1, 2, 30, 40]), "score": np.float32(0.5)}
    assert lifter.lift(*small, ["leg"], [numbers]).boxes.box.tolist() == [[1, 2, 30, 40]]


def test_one_call_is_the_same(small, lifter):
    given = {"superpoints": np.arange(100) // 10, "weights": [3.0], "name": "ball"}
    told = []
    found = partstad.lift(*small, ["a"], boxes(), **given, observer=told.append, labels={"rule": "arg-max"})
    assert found.superpoints.tolist() == given["superpoints"].tolist() and "labels" in told
    assert found.summary()["cloud"] == "ball" and found.summary()["parameters"]["options"]["labels"]["rule"] == "arg-max"
    options = partstad.lift(*small, ["a"], boxes(), superpoints={"small": 7}).summary()["parameters"]["options"]
    assert options["superpoints"]["small"] == 7


def test_what_is_odd_about_a_cloud_is_a_warning(small, lifter):
    points, colors = small
    points = [[np.nan] * 3, *points[1:]]
    for call in (lifter.render, lifter.superpoints):
        with pytest.warns(UserWarning, match="1 of 100 rows are not finite"):
            call(points, colors)


def test_no_boxes_find_nothing(small, lifter):
    for none in ([], partstad.Boxes([], [], [])):
        found = lifter.lift(*small, ["a"], none)
        assert (found.labels == -1).all() and "no box" in found.warnings[0].lower()
        assert found.masks.shape == (0, 800, 800) and len(found.boxes) == 0


@pytest.mark.parametrize(
    "masks, message",
    [
        (np.zeros((1, 400, 400), bool), r"masks have shape \[1, 400, 400\]; they must be \[1, 800, 800\]"),
        (np.full((1, 800, 800), np.nan), "the mask of box 0 has a pixel that is not finite"),
        ("masks.npz", "masks: a path or a text; give an array"),
        (np.arange(640000.0).reshape(1, 800, 800), "neither logits"),
    ],
)
def test_masks_that_are_none(small, lifter, masks, message):
    with pytest.raises(partstad.InvalidError, match=message):
        lifter.lift(*small, ["a"], boxes(), masks)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"superpoints": [0] * 99}, r"superpoints have shape \[99\]; the cloud has 100 points"),
        ({"superpoints": [-1] * 100}, "every point needs a superpoint"),
        ({"superpoints": [1 << 40] * 100}, "not in -1..="),
        ({"superpoints": np.zeros(100)}, "must be integers"),
        ({"weights": [1.0, 2, 3]}, "3 weights for 1 boxes"),
        ({"weights": [np.nan]}, "must be from -1e30 to 1e30"),
        ({"weights": [3e38]}, "that of box 0 is 3e38"),
    ],
)
def test_knowledge_that_is_none(small, lifter, given, message):
    with pytest.raises(partstad.InvalidError, match=message):
        lifter.lift(*small, ["a"], boxes(), **given)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"veiws": {}}, "unknown field `veiws`, expected one of `mesh`"),
        ({"views": {"sides": 1}}, "option views: unknown field `sides`"),
        ({"views": {"side": "a"}}, "option views: invalid type"),
        ({"views": 3}, "option views: invalid type"),
        ({"views": {"side": np.float32(1)}}, "option views: invalid type: floating point `1.0`"),
        ({"views": {"side": object()}}, "option views: object is no number, text, list or dictionary"),
        ({"cloud": ["z", "grey"]}, "option cloud: a list, expected an object"),
        ({"model_options": {"nonsense": 1}}, "model_options: unknown field"),
        ({"superpoints": {"lambda": float("nan")}}, "option superpoints"),
        ({"views": {"side": 0}}, "option views.side is 0; it must be from 1 to 8192"),
        ({"instances": {"min_box_iou": 7}}, "option instances.min_box_iou is 7; it must be from 0 to 1"),
        ({"network": "nowhere.safetensors"}, "nowhere.safetensors"),
        ({"threads": 5000}, "threads is 5000"),
    ],
)
def test_options_that_are_none(options, message):
    with pytest.raises((partstad.InvalidError, partstad.NotFoundError), match=message):
        partstad.Pipeline(None, **options)


def test_options_out_of_range_are_named(small):
    with pytest.raises(partstad.InvalidError, match="option views.radius is 2; it must be above 0"):
        partstad.render(*small, views={"radius": 2})
    with pytest.raises(partstad.OutOfMemoryError, match="option memory"):
        partstad.render(*small, memory=1000)
    assert issubclass(partstad.OutOfMemoryError, MemoryError)


def test_devices_and_models_that_are_none(small, lifter, tmp_path):
    with pytest.raises(partstad.DeviceError, match="not one of auto, cpu, cuda, cuda:N"):
        partstad.Pipeline(None, "tpu")
    with pytest.raises(partstad.NotFoundError) as missing:
        partstad.Pipeline(tmp_path / "nowhere")
    assert isinstance(missing.value, FileNotFoundError) and "nowhere" in missing.value.filename
    with pytest.raises(partstad.ModelError, match="the pipeline has no models"):
        lifter.segment(*small, ["a"])
    with pytest.raises(partstad.InvalidError, match="model_options: unknown field"):
        partstad.Pipeline(model_options={"thread": 1})
    with pytest.raises(partstad.InvalidError, match="provider tensorrt"):
        partstad.Pipeline(model_options={"provider": "tensorrt"})


def test_files_that_are_none(lifter, tmp_path):
    with pytest.raises(FileNotFoundError) as missing:
        partstad.read(tmp_path / "a.ply")
    assert missing.value.errno == 2 and str(missing.value).startswith(str(tmp_path / "a.ply")), missing.value
    again = pickle.loads(pickle.dumps(missing.value))
    assert (str(again), again.errno, again.filename) == (str(missing.value), 2, missing.value.filename)
    (tmp_path / "a.ply").write_bytes(b"ply\n")
    for call in (partstad.read, partstad.Mesh.read, lambda path: lifter.superpoints(path)):
        with pytest.raises(partstad.FormatError, match="a.ply"):
            call(tmp_path / "a.ply")
    with pytest.raises(partstad.FormatError, match="convert it"):
        partstad.read(tmp_path / "a.fbx")


def test_results_own_their_arrays(lifter, cloud):
    found = lifter.lift(*cloud, PARTS, BOXES)
    for name in ["labels", "instances", "superpoints", "scores", "masks"]:
        array = getattr(found, name)
        assert array is getattr(found, name) and array.flags.writeable and array.flags.c_contiguous, name
    found.labels[:] = 7
    assert found.summary()["parts"][0]["points"] < len(found)
    assert np.from_dlpack(found.labels)[0] == 7

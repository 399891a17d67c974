from __future__ import annotations

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.preprocess import (
    ImagePreprocessor,
    Letterbox,
    Normalize,
    Resize,
    WindowPreprocessor,
    geometry,
    normalize,
    place,
)

IMAGENET = Normalize((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def _picture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("align", ["center", "start"])
@pytest.mark.parametrize("seed", range(25))
def test_boxes_come_back_from_the_letterbox(seed, align):
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 900, 2))
    size = tuple(int(n) for n in rng.integers(8, 500, 2))
    there = geometry((height, width), Letterbox(size, align=align))
    corners = rng.uniform(0, 1, (30, 2, 2)) * (width, height)
    boxes = np.sort(corners, axis=1).reshape(30, 4).astype(np.float32)
    inside = there.to_net(boxes)
    assert inside.min() >= -1e-3
    assert inside[:, 0::2].max() <= size[1] + 1e-2
    assert inside[:, 1::2].max() <= size[0] + 1e-2
    np.testing.assert_allclose(there.to_frame(inside), boxes, atol=1e-3 * max(height, width))


@pytest.mark.parametrize("align", ["center", "start"])
@pytest.mark.parametrize("seed", range(25))
def test_the_letterbox_puts_the_picture_where_its_geometry_says(seed, align):
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(2, 300, 2))
    step = Letterbox(tuple(int(n) for n in rng.integers(8, 300, 2)), pad=7, align=align)
    white = np.full((height, width, 3), 255, np.uint8)
    placed = place(white, step)
    assert placed.shape == (*step.size, 3)
    box = geometry(white.shape, step).to_net(np.float32([[0, 0, width, height]]))
    left, top, right, bottom = box[0].round().astype(int)
    assert (placed[top:bottom, left:right] == 255).all()
    outside = np.ones(step.size, bool)
    outside[top:bottom, left:right] = False
    assert (placed[outside] == 7).all()
    # The picture fills the net's input one way, and its aspect is kept to the pixel.
    assert (bottom - top, right - left)[int(right - left == step.size[1])] in step.size
    ratio = min(step.size[0] / height, step.size[1] / width)
    assert abs((right - left) - width * ratio) <= 1
    assert abs((bottom - top) - height * ratio) <= 1


def test_centre_leaves_equal_margins_and_start_leaves_none():
    tall = np.zeros((200, 100, 3), np.uint8)
    centred = geometry(tall.shape, Letterbox((64, 64)))
    assert (centred.pad_x, centred.pad_y) == (16, 0)
    started = geometry(tall.shape, Letterbox((64, 64), align="start"))
    assert (started.pad_x, started.pad_y) == (0, 0)


def test_boxes_are_cut_to_the_frame():
    there = geometry((100, 200), Letterbox((64, 64)))
    cut = there.to_frame(np.float32([[-50, -50, 500, 500]]))
    np.testing.assert_array_equal(cut, [[0, 0, 200, 100]])


def test_stretching_maps_each_axis_alone():
    step = Resize((50, 400))
    there = geometry((100, 200), step)
    boxes = np.float32([[10, 20, 30, 40]])
    np.testing.assert_array_equal(there.to_net(boxes), [[20, 10, 60, 20]])
    np.testing.assert_array_equal(there.to_frame(there.to_net(boxes)), boxes)
    assert place(np.zeros((100, 200, 3), np.uint8), step).shape == (50, 400, 3)


def test_key_points_come_back_as_boxes_do():
    there = geometry((480, 640, 3), Letterbox((320, 320)))
    corners = there.to_net(np.float32([[10, 20, 300, 400]])).reshape(1, 2, 2)
    points = np.concatenate([corners, np.full((1, 2, 1), 0.5, np.float32)], 2)
    back = there.points_to_frame(points)
    np.testing.assert_allclose(back, [[[10, 20, 0.5], [300, 400, 0.5]]], atol=1e-4)


def test_linear_shrinking_takes_four_pixels_only():
    stripes = np.zeros((80, 80, 3), np.uint8)
    stripes[:, ::4] = 255
    small = place(stripes, Resize((20, 20), shrink="linear"))
    assert small.max() == 0  # of columns 1 and 2; the average would be 64
    assert (place(stripes, Resize((20, 20))) == 64).all()


def test_a_picture_of_the_right_size_is_untouched():
    picture = _picture(np.random.default_rng(0), 48, 64)
    for step in (Letterbox((48, 64)), Resize((48, 64))):
        np.testing.assert_array_equal(place(picture, step), picture)


def test_shrinking_averages():
    # Every third pixel of a chequerboard is black or white; nine of them together are grey.
    checkers = np.indices((63, 63)).sum(0) % 2 * 255
    picture = np.repeat(checkers[..., None], 3, 2).astype(np.uint8)
    assert np.abs(place(picture, Resize((21, 21))).astype(int) - 127.5).max() < 15


def test_place_fills_the_buffer_it_is_given():
    buffer = np.full((32, 32, 3), 99, np.uint8)
    picture = _picture(np.random.default_rng(1), 10, 20)
    assert place(picture, Letterbox((32, 32)), buffer) is buffer
    np.testing.assert_array_equal(buffer, place(picture, Letterbox((32, 32))))


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize("step", [IMAGENET, Normalize((0.5,), (0.25,), 1 / 255), None])
def test_the_tensor_equals_a_plain_reference(layout, color, step):
    picture = _picture(np.random.default_rng(2), 24, 40)
    expected = picture.astype(np.float64)
    if color == "rgb":
        expected = expected[..., ::-1]
    if step is not None:
        expected = (expected * step.scale - np.array(step.mean)) / np.array(step.std)
    if layout == "nchw":
        expected = np.moveaxis(expected, -1, 0)
    steps = (Resize((24, 40)),) + ((step,) if step else ())
    tensor, there = ImagePreprocessor(steps, color, layout)(picture)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    np.testing.assert_allclose(tensor, expected[None], rtol=1e-5, atol=1e-5)
    assert there.frame_size == (24, 40)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("step", [Normalize((127.5,), (64.0,)), None])
def test_grey_is_weighed_as_eyes_do(layout, step):
    picture = _picture(np.random.default_rng(2), 24, 40)
    expected = (picture @ np.array([0.114, 0.587, 0.299])).round()
    if step is not None:
        expected = (expected - 127.5) / 64
    steps = (Resize((24, 40)),) + ((step,) if step else ())
    tensor, _ = ImagePreprocessor(steps, "gray", layout)(picture)
    assert tensor.shape == ((1, 1, 24, 40) if layout == "nchw" else (1, 24, 40, 1))
    assert tensor.dtype == np.float32
    # OpenCV rounds its weights, which is a grey level here and there.
    levels = np.abs(tensor.reshape(24, 40) - expected) * (64 if step else 1)
    assert levels.max() < 1.01
    assert levels.mean() < 0.02


def test_grey_takes_one_mean():
    with pytest.raises(ModelError, match="3 channels but the input has 1"):
        ImagePreprocessor((Resize((8, 8)), IMAGENET), "gray", "nchw")


@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_one_buffer_serves_every_frame(color):
    rng = np.random.default_rng(3)
    step = IMAGENET if color == "rgb" else Normalize((1.0,), (2.0,))
    prepare = ImagePreprocessor((Letterbox((32, 32)), step), color, "nchw")
    pictures = [_picture(rng, 20, 50), _picture(rng, 50, 20), _picture(rng, 32, 32)]
    reused = [prepare(picture)[0].copy() for picture in pictures]
    for picture, tensor in zip(pictures, reused, strict=True):
        fresh = ImagePreprocessor((Letterbox((32, 32)), step), color, "nchw")
        np.testing.assert_array_equal(tensor, fresh(picture)[0])
    assert prepare(pictures[0])[0] is prepare(pictures[1])[0]


def test_a_window_equals_a_plain_reference():
    values = np.random.default_rng(4).normal(size=(20, 3)).astype(np.float32)
    step = Normalize((1.0, 2.0, 3.0), (0.5, 2.0, 4.0))
    tensor = WindowPreprocessor((step,), 20, 3)(values)
    assert tensor.shape == (1, 20, 3)
    np.testing.assert_allclose(tensor[0], (values - step.mean) / step.std, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(WindowPreprocessor((), 20, 3)(values)[0], values)
    planar = WindowPreprocessor((step,), 20, 3, "nct")(values)
    assert planar.flags.c_contiguous
    np.testing.assert_array_equal(planar, tensor.transpose(0, 2, 1))


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(picture):
    prepare = ImagePreprocessor((Resize((8, 8)),), "rgb", "nchw")
    with pytest.raises(ModelError, match=r"\(height, width, 3\) uint8 in BGR order, not"):
        prepare(picture)


def test_a_window_of_another_shape_is_refused():
    with pytest.raises(ModelError, match="windows of 20 readings x 3 channels, not 20 x 6"):
        WindowPreprocessor((), 20, 3)(np.zeros((20, 6), np.float32))


def test_channels_must_fit_the_normalisation():
    out = np.empty((5, 4), np.float32)
    with pytest.raises(ModelError, match="3 channels but the input has 4"):
        normalize(np.zeros((5, 4), np.float32), IMAGENET, out)


@pytest.mark.parametrize(
    "steps",
    [(), (IMAGENET,), (Resize((8, 8)), Resize((8, 8))), (Resize((8, 8)), IMAGENET, IMAGENET)],
)
def test_steps_in_another_order_are_refused(steps):
    with pytest.raises(ModelError, match="a picture model"):
        ImagePreprocessor(steps, "rgb", "nchw")


@pytest.mark.parametrize("steps", [(Resize((8, 8)),), (IMAGENET, IMAGENET)])
def test_a_window_takes_no_picture_steps(steps):
    with pytest.raises(ModelError, match="a sequence model"):
        WindowPreprocessor(steps, 8, 3)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Letterbox((0, 32)), "1..8192 pixels"),
        (lambda: Resize((32, 10**9)), "1..8192 pixels"),
        (lambda: Letterbox((32, 32), pad=256), r"0\.\.255, not 256"),
        (lambda: Normalize((0.0,), (0.0,)), "std above 0"),
        (lambda: Normalize((float("nan"),), (1.0,)), "finite"),
        (lambda: Normalize((0.0, 0.0), (1.0,)), "not 2 and 1"),
        (lambda: Normalize((), ()), "not 0 and 0"),
    ],
)
def test_impossible_steps_are_refused(make, reason):
    with pytest.raises(ModelError, match=reason):
        make()


def test_a_centre_cut_keeps_the_middle_and_maps_back():
    from edgenn.ops.preprocess import CenterCrop, geometry, place

    frame = np.zeros((100, 200, 3), np.uint8)
    frame[40:60, 90:110] = 255  # boxes are cut to the frame, this one lies inside
    step = CenterCrop((40, 40), share=0.8)
    placed = place(frame, step)
    rows, columns = np.nonzero(placed[..., 0] > 127)
    box = [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
    back = geometry(frame.shape, step).to_frame(np.array(box, np.float32))
    np.testing.assert_allclose(back, [[90, 40, 110, 60]], atol=2)

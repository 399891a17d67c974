from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops import crop
from edgenn.ops.decode import Foreign, blaze, landmarks
from edgenn.ops.preprocess import ImagePreprocessor, Letterbox, Normalize, Resize
from edgenn.runtime.engines.litert import open_model


def _ramps(height: int = 240, width: int = 320) -> np.ndarray:
    """A picture whose blue says x and whose green says y, at the middle of each pixel."""
    y, x = np.mgrid[:height, :width].astype(np.float64) + 0.5
    return np.dstack([x / width * 255, y / height * 255, x * 0]).round().astype(np.uint8)


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2, math.pi / 2, math.pi])
def test_a_crop_holds_what_its_map_says(angle):
    image = _ramps()
    cut, way = crop.rotated_crop(image, (150, 120), (90, 60), angle, (80, 100))
    assert cut.shape == (80, 100, 3)
    rows, columns = np.mgrid[2:78:5, 2:98:5]
    there = crop.apply(way, np.stack([columns + 0.5, rows + 0.5], -1))
    blue, green = cut[rows, columns, 0], cut[rows, columns, 1]
    np.testing.assert_allclose(blue, there[..., 0] / 320 * 255, atol=1.2)
    np.testing.assert_allclose(green, there[..., 1] / 240 * 255, atol=1.2)


def test_an_upright_crop_of_whole_pixels_is_a_slice():
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    cut, way = crop.rotated_crop(image, (30, 20), (40, 20), 0.0, (20, 40))
    np.testing.assert_array_equal(cut, image[10:30, 10:50])
    np.testing.assert_allclose(way, [[1, 0, 10], [0, 1, 10]], atol=1e-6)


def test_a_quarter_turn_clockwise_has_its_top_on_the_right():
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    cut, _ = crop.rotated_crop(image, (30, 20), (20, 40), math.pi / 2, (40, 20))
    # What lay to the right is on top of the crop.
    np.testing.assert_array_equal(cut, np.rot90(image[10:30, 10:50], 1))


def test_corners_go_round_from_the_top_left():
    corners = crop.Region((10, 20), (4, 2), math.pi / 2).corners()
    np.testing.assert_allclose(corners, [[11, 18], [11, 22], [9, 22], [9, 18]], atol=1e-5)


def test_beyond_the_frame_lie_its_nearest_pixels_or_black():
    image = np.full((20, 20, 3), 9, np.uint8)
    assert (crop.rotated_crop(image, (0, 0), (20, 20), 0.0, (8, 8))[0] == 9).all()
    black = crop.rotated_crop(image, (0, 0), (20, 20), 0.0, (8, 8), border="black")[0]
    assert (black[:3] == 0).all()
    assert (black[5:, 5:] == 9).all()
    far = crop.rotated_crop(image, (900, -900), (20, 20), 1.0, (8, 8), border="black")[0]
    assert (far == 0).all()


@pytest.mark.parametrize(
    ("center", "size", "angle", "out"),
    [
        ((np.nan, 0), (9, 9), 0.0, (8, 8)),
        ((0, 0), (0, 9), 0.0, (8, 8)),
        ((0, 0), (-1, 9), 0.0, (8, 8)),
        ((0, 0), (9, np.inf), 0.0, (8, 8)),
        ((0, 0), (9, 9), np.inf, (8, 8)),
        ((1e9, 0), (9, 9), 0.0, (8, 8)),
        ((0, 0), (9, 9), 0.0, (0, 8)),
        ((0, 0), (9, 9), 0.0, (8, 100000)),
    ],
)
def test_impossible_crops_are_refused(center, size, angle, out):
    with pytest.raises(ModelError, match="crop"):
        crop.rotated_crop(np.zeros((9, 9, 3), np.uint8), center, size, angle, out)


def test_points_keep_their_further_columns():
    points = np.array([[1, 2, 0.7], [3, 4, 0.1]], np.float32)
    moved = crop.apply(np.array([[0, -1, 10], [1, 0, 20]], np.float32), points)
    np.testing.assert_allclose(moved, [[8, 21, 0.7], [6, 23, 0.1]])
    np.testing.assert_allclose(points[0], [1, 2, 0.7])


def _rotate(points: np.ndarray, angle: float) -> np.ndarray:
    """Clockwise, as one sees it, about the origin."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.stack(
        [points[:, 0] * cos - points[:, 1] * sin, points[:, 0] * sin + points[:, 1] * cos], 1
    )


@pytest.mark.parametrize("angle", np.linspace(-3, 3, 7))
def test_the_axis_of_a_palm_points_up_on_the_crop(angle):
    points = np.zeros((7, 2))
    points[2] = (0, -40)  # the middle finger's root above the wrist
    points = _rotate(points, angle) + np.array([200, 150])
    box = np.array([170, 130, 230, 190], np.float32)
    found = crop.region(crop.PALM, points, box)
    assert found.angle == pytest.approx(angle)
    assert found.size == pytest.approx((2.6 * 60, 2.6 * 60))
    # By half the palm's height towards the fingers.
    expected = np.array([200, 160]) + _rotate(np.array([[0, -30.0]]), angle)[0]
    np.testing.assert_allclose(found.center, expected)
    back = np.linalg.inv(np.vstack([found.affine((224, 224)), [0, 0, 1]]))
    wrist, root = ((back @ (*points[i], 1))[:2] for i in (0, 2))
    assert root[0] == pytest.approx(wrist[0], abs=1e-2)
    assert root[1] < wrist[1]


@pytest.mark.parametrize("angle", np.linspace(-3, 3, 7))
def test_a_hand_leads_to_the_region_of_the_next_frame_however_it_is_turned(angle):
    points = np.random.default_rng(0).uniform(-30, 30, (21, 2))
    points[[0, 5, 9, 13]] = ((0, 50), (-10, -20), (0, -25), (10, -20))
    upright = crop.region(crop.HAND, points)
    assert upright.angle == pytest.approx(0)
    used = points[[0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]]
    low, high = used.min(0), used.max(0)
    assert upright.size == pytest.approx((2 * max(high - low),) * 2)
    middle = (low + high) / 2 - (0, 0.1 * (high - low)[1])
    np.testing.assert_allclose(upright.center, middle)
    turned = crop.region(crop.HAND, _rotate(points, angle) + np.array([300, 200]))
    assert turned.angle == pytest.approx(angle)
    assert turned.size == pytest.approx(upright.size)
    expected = _rotate(np.array([upright.center]), angle)[0] + (300, 200)
    np.testing.assert_allclose(turned.center, expected)


def test_eyes_lie_level_and_a_person_fills_the_circle():
    eyes = np.array([[100, 100], [140, 140], [0, 0], [0, 0], [0, 0], [0, 0]], float)
    face = crop.region(crop.FACE, eyes, np.float32([80, 80, 160, 160]))
    assert face.angle == pytest.approx(math.pi / 4)
    assert face.size == pytest.approx((120, 120))
    person = crop.region(crop.POSE, np.array([[50, 60], [50, 20], [0, 0], [0, 0]], float))
    assert (person.center, person.angle) == ((50, 60), pytest.approx(0))
    assert person.size == pytest.approx((100, 100))


def test_a_damaged_detection_has_no_region():
    box = np.float32([0, 0, 10, 10])
    assert crop.region(crop.PALM, np.full((7, 2), np.nan), box) is None
    assert crop.region(crop.PALM, np.zeros((7, 2)), np.float32([0, 0, np.inf, 9])) is None
    assert crop.region(crop.PALM, np.zeros((7, 2)), np.float32([5, 5, 5, 5])) is None
    assert crop.region(crop.HAND, np.full((21, 2), 3.0)) is None
    assert crop.region(crop.PALM, np.full((7, 2), 1e30), np.float32([0, 0, 1e30, 9])) is None


def test_rules_say_what_they_lack():
    with pytest.raises(ModelError, match="needs 3 key points"):
        crop.region(crop.PALM, np.zeros((2, 2)), np.zeros(4, np.float32))
    with pytest.raises(ModelError, match="around a box"):
        crop.region(crop.PALM, np.zeros((7, 2)))
    with pytest.raises(ModelError, match="start and its end"):
        crop.RegionRule(start=((0, 1),))
    with pytest.raises(ModelError, match="add up"):
        crop.RegionRule(start=((0, 0),), end=((1, 1),))


class _Hands:
    """MediaPipe's two nets, one after the other."""

    def __init__(self, models) -> None:
        self.palm = open_model((models / "palm_detection_lite.tflite").read_bytes(), 1)
        self.hand = open_model((models / "hand_landmark_lite.tflite").read_bytes(), 1)
        palm = Foreign({}, {"Identity": (1, 2016, 18), "Identity_1": (1, 2016, 1)}, (192, 192))
        shapes = dict.fromkeys(("Identity", "Identity_3"), (1, 63))
        shapes |= dict.fromkeys(("Identity_1", "Identity_2"), (1, 1))
        self.palm_match = blaze.recognise(palm)
        self.hand_match = landmarks.recognise(Foreign({}, shapes, (224, 224)))
        unit = Normalize((0.0,) * 3, (255.0,) * 3)
        self.fit = ImagePreprocessor((Letterbox((192, 192), pad=0), unit), "rgb", "nhwc")
        self.fill = ImagePreprocessor((Resize((224, 224)), unit), "rgb", "nhwc")
        self.find = blaze.build(self.palm_match.params, ("palm",), (192, 192))
        self.read = landmarks.build(self.hand_match.params, ("left", "right"), (224, 224))

    def palms(self, image):
        tensor, way = self.fit(image)
        raw = self.palm.run({"input_1": tensor})
        return self.find({a: raw[b] for a, b in self.palm_match.outputs.items()}, way)

    def points(self, image, region):
        """Prediction on the crop, and the points in the frame."""
        cut, way = crop.rotated_crop(image, region.center, region.size, region.angle, (224, 224))
        raw = self.hand.run({"input_1": self.fill(cut)[0]})
        found = self.read({a: raw[b] for a, b in self.hand_match.outputs.items()}, None)
        return found, crop.apply(way, found.keypoints[0]) if len(found) else None


@pytest.fixture(scope="module")
def hands(real_data) -> _Hands:
    return _Hands(real_data / "models")


def _frame(real_data, clip: str, index: int) -> np.ndarray:
    video = cv2.VideoCapture(str(real_data / f"videos/asl/{clip}.mkv"))
    for _ in range(index):
        video.grab()
    image = video.read()[1]
    video.release()
    return image


# The palm net has points of its own, which the second net must find again: wrist, roots of
# four fingers, two of the thumb.
_SAME = [0, 5, 9, 13, 17, 1, 2]


def _skin(image: np.ndarray, points: np.ndarray) -> float:
    """Share of the points that lie on something of the colour of skin."""
    tones = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 1.5), cv2.COLOR_BGR2YCrCb)
    x, y = points[:, :2].astype(int).T
    _, red, blue = tones[y.clip(0, len(tones) - 1), x.clip(0, tones.shape[1] - 1)].T
    return float(((red > 133) & (blue < 127)).mean())


# A hand in the middle of the picture, the signer's right, in any pose.
@pytest.mark.parametrize(("clip", "index"), [("no", 40), ("sorry", 30), ("thanks", 20)])
@pytest.mark.parametrize("turn", [None, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180])
def test_the_points_of_a_hand_lie_on_the_hand(real_data, hands, clip, index, turn):
    image = _frame(real_data, clip, index)
    image = image if turn is None else cv2.rotate(image, turn)
    palms = hands.palms(image)
    found, points = hands.points(image, crop.region(crop.PALM, palms.keypoints[0], palms.boxes[0]))
    assert found.scores[0] > 0.9
    assert found.name(0) == "right"
    palm = float((palms.boxes[0, 2:] - palms.boxes[0, :2]).max())
    apart = np.linalg.norm(points[_SAME, :2] - palms.keypoints[0, :, :2], axis=1)
    assert apart.max() < 0.35 * palm
    assert _skin(image, points) > 0.8
    # What is beside the hand, but for the face, is not of that colour; so this can fail.
    beside = [points + np.array([x, y, 0]) for x, y in ((60, 0), (-60, 0), (0, 60), (0, -60))]
    assert min(_skin(image, moved) for moved in beside) < 0.3


def test_a_hand_is_followed_without_the_detector(real_data, hands):
    video = cv2.VideoCapture(str(real_data / "videos/asl/no.mkv"))
    image = video.read()[1]
    palms = hands.palms(image)
    region = crop.region(crop.PALM, palms.keypoints[0], palms.boxes[0])
    frames = 0
    while image is not None and frames < 30:
        found, points = hands.points(image, region)
        assert len(found) == 1
        region = crop.region(crop.HAND, points)
        frames += 1
        image = video.read()[1]
    video.release()
    assert frames == 30

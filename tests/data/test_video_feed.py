"""Clips of video as samples: rate, padding, and what a flip does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgenn.data import Clip, Dataset
from edgenn.data.feed import Feed, collate, input_spec
from edgenn.errors import DataError

LABELS = ("left", "right", "wave")
STILL = {"scale": (1, 1), "translate": 0, "hsv": (0, 0, 0)}


@pytest.fixture
def film(tmp_path):
    """Writes a video whose frames grow brighter by 4 from one to the next; left half only."""

    def write(name, frames=30, size=(48, 64), fps=30.0, class_id=0, colour=True, start=0.0):
        path = tmp_path / f"{name}.avi"
        codec = cv2.VideoWriter.fourcc(*"MJPG")
        writer = cv2.VideoWriter(str(path), codec, fps, size[::-1], colour)
        for i in range(frames):
            image = np.zeros((*size, 3) if colour else size, np.uint8)
            image[:, : size[1] // 2] = 4 * i + 8
            writer.write(image)
        writer.release()
        shown = frames - round(start * fps)
        return Clip(path, start, np.inf, class_id, "g", "", size, fps, shown)

    return write


def feed(recipe, clips, *, train=False, rate=10.0, **augment):
    asked = recipe(
        "clips",
        {"rate": rate},
        input={"imgsz": [24, 32], "mean": [0, 0, 0], "std": [1, 1, 1]},
        augment=STILL | augment,
    )
    spec = input_spec(asked, Dataset(LABELS, tuple(clips), ()))
    return Feed(clips, asked, spec, train=train, labels=LABELS)


def levels(x):
    """Brightness of the left half of each frame, in numbers of the frame in the file."""
    return (x[:, :, :, 2:14].mean((1, 2, 3)) - 8) / 4


def test_any_video_gives_as_many_frames_a_second_as_the_net_takes(recipe, film):
    clips = [film("a", 60, fps=30), film("b", 20, fps=10), film("c", 50, fps=25)]
    made = feed(recipe, clips)
    assert [len(made[i].x) for i in range(3)] == [20, 20, 20]
    assert levels(made[0].x) == pytest.approx(np.arange(0, 60, 3), abs=0.5)
    assert levels(made[1].x) == pytest.approx(np.arange(20), abs=0.5)
    assert np.diff(levels(made[2].x)).round().min() >= 2


def test_a_part_of_a_video_begins_where_it_says(recipe, film):
    made = feed(recipe, [film("a", 60, fps=30, start=1.0)])
    assert levels(made[0].x) == pytest.approx(np.arange(30, 60, 3), abs=0.5)


def test_grey_videos_and_other_sizes_come_as_three_colours_of_one_size(recipe, film):
    made = feed(recipe, [film("a", colour=False), film("b", size=(96, 96))])
    for i in range(2):
        assert made[i].x.shape == (10, 3, 24, 32)
        assert made.raw(i).shape == (10, 24, 32, 3)
        assert made.raw(i).dtype == np.uint8
    assert np.array_equal(made[0].x[:, 0], made[0].x[:, 2])


def test_the_class_is_asked_for_at_the_end(recipe, film):
    clips = [film("a", 30, class_id=2)]
    assert feed(recipe, clips)[0].class_ids.tolist() == [-1] * 9 + [2]
    assert feed(recipe, clips).truth(0)[1].tolist() == [-1] * 9 + [2]
    assert feed(recipe, clips, train=True)[0].class_ids.tolist() == [-1] * 5 + [2] * 5


def test_shorter_clips_of_a_batch_end_with_their_last_frame_repeated(recipe, film):
    made = feed(recipe, [film("a", 30), film("b", 18)])
    x, y = collate([made[0], made[1]])
    assert x.shape == (2, 10, 3, 24, 32)
    assert np.array_equal(x[1, :6], made[1].x)
    assert (x[1, 6:] == made[1].x[-1]).all()
    assert y[1].tolist() == [-1] * 5 + [0] + [-1] * 4


def test_a_flip_turns_left_into_right(recipe, film):
    clips = [film("a", class_id=c) for c in (0, 1, 2)]
    plain = feed(recipe, clips, train=True, flip=1.0)
    flipped = feed(recipe, clips, train=True, flip=1.0, swap=[["left", "right"]])
    for i, wanted in enumerate((1, 0, 2)):
        assert plain[i].class_ids[-1] == i
        assert flipped[i].class_ids[-1] == wanted
        assert np.array_equal(flipped[i].x, plain[i].x[..., ::-1])


def test_a_swap_of_no_label_is_refused(recipe, film):
    with pytest.raises(DataError, match=r"augment.swap: there is no label 'rigth'.*right"):
        feed(recipe, [film("a")], train=True, swap=[["left", "rigth"]])


def test_speed_and_cuts_change_the_length_and_keep_the_order(recipe, film):
    made = feed(recipe, [film("a", 60)], train=True, speed=(0.5, 2.0), crop=0.2)
    lengths = set()
    for epoch in range(40):
        made.set_epoch(epoch)
        seen = levels(made[0].x)
        assert (np.diff(seen) > -0.5).all()
        lengths.add(len(seen))
    assert min(lengths) < 14
    assert max(lengths) > 24


def test_all_frames_of_a_clip_are_changed_alike(recipe, film):
    made = feed(
        recipe, [film("a", 30)], train=True,
        scale=(0.6, 1.6), translate=0.2, rotate=20, stretch=0.2, hsv=(0, 0, 0.3),
    )  # fmt: skip
    edges = []
    for epoch in range(8):
        made.set_epoch(epoch)
        x = made[0].x
        # Where each frame is half as bright as its brightest place.
        shapes = x.mean(1) > x.mean(1).max((1, 2), keepdims=True) / 2
        assert (shapes[2:] == shapes[2]).mean() > 0.97
        edges.append(shapes[2].sum())
    assert len(set(edges)) > 4


def test_a_clip_that_lost_its_frames_is_refused_in_words(recipe, film):
    clip = film("a", 30)
    clip.path.write_bytes(b"")
    with pytest.raises(DataError, match="no frame can be decoded"):
        feed(recipe, [clip])


def test_the_rate_is_that_of_most_videos_where_the_recipe_names_none(recipe, film):
    clips = [film("a", fps=25), film("b", fps=25), film("c", fps=30)]
    asked = recipe("clips", input={"imgsz": 32})
    assert input_spec(asked, Dataset(LABELS, tuple(clips), ())).rate == 25

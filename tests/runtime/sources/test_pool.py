"""Buffers are used again, but never one that somebody still looks at."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgenn.runtime.sources import Options
from edgenn.runtime.sources._pool import Pool
from edgenn.runtime.sources.test import open_source as open_test
from edgenn.runtime.sources.video import open_source as open_video


def place(image):
    return image.ctypes.data


def test_a_steady_loop_uses_one_buffer():
    pool, places = Pool(), set()
    for _ in range(50):
        image = pool.take((4, 6, 3))
        places.add(place(image))
        del image
    assert len(places) == 1


@pytest.mark.parametrize("keep", [lambda a: a, lambda a: a[1:, ::-1], lambda a: a.T.data])
def test_what_is_kept_stays_also_a_view_of_it(keep):
    pool, kept = Pool(most=3), []
    for i in range(10):
        image = pool.take((4, 6, 3))
        image[...] = i
        kept.append(keep(image))
        del image
    for i, part in enumerate(kept):
        assert np.all(np.asarray(part) == i)


def test_another_size_in_mid_stream():
    pool = Pool()
    first = pool.take((4, 6, 3))
    first[...] = 7
    second = pool.take((2, 2, 3))
    second[...] = 9
    assert second.shape == (2, 2, 3)
    assert np.all(first == 7)


@pytest.mark.parametrize("opens", ["test", "video"])
def test_a_source_takes_no_new_memory_after_its_first_frames(opens, clip):
    if opens == "test":
        frames = open_test("//?size=96x64&frames=20", Options())
    else:
        frames = open_video(str(clip), Options())
    places = [place(frame.image) for frame in frames]
    assert len(places) == 20
    assert len(set(places)) <= 3


def test_a_frame_of_a_video_that_is_kept_is_not_drawn_over(clip):
    kept, before = [], []
    for frame in open_video(str(clip), Options()):
        if frame.index % 3 == 0:
            kept.append(frame)
            before.append(frame.image.copy())
    assert all(np.array_equal(f.image, b) for f, b in zip(kept, before, strict=True))
    assert len({place(f.image) for f in kept}) == len(kept)


def test_opencv_writes_into_a_buffer_that_fits_and_leaves_others_alone(clip):
    capture = cv2.VideoCapture(str(clip))
    fits, other = np.zeros((96, 128, 3), np.uint8), np.zeros((5, 5, 3), np.uint8)
    capture.grab()
    assert capture.retrieve(fits)[1] is fits
    assert fits.any()
    capture.grab()
    assert capture.retrieve(other)[1].shape == fits.shape
    assert not other.any()
    capture.release()

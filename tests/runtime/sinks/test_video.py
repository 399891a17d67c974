from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgenn.errors import SinkError
from edgenn.runtime.sinks.video import open_sink
from edgenn.types import Detections, Frame, Result

BOX = Detections(
    np.array([[8, 8, 40, 40]], np.float32), np.array([0.75], np.float32), np.array([0]), ("a",)
)


def result(time: float, size: tuple[int, int] = (64, 96), grey: int = 50) -> Result:
    return Result(Frame(np.full((*size, 3), grey, np.uint8), time, 0, "clip"), BOX)


def frames(path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    found = []
    while True:
        ok, image = capture.read()
        if not ok:
            return found
        found.append(image)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_one_frame_each_at_the_rate_of_the_source(tmp_path, suffix):
    path = tmp_path / f"o.{suffix}"
    sink = open_sink(str(path), 10)
    for i in range(12):
        sink.write(result(5 + i / 10))
    assert not path.exists()
    sink.close()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert len(frames(path)) == 12
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == pytest.approx(10)


def test_the_box_is_drawn_in(tmp_path):
    path = tmp_path / "o.avi"
    sink = open_sink(str(path), 10)
    sink.write(result(0, (200, 300)))
    sink.close()
    (image,) = frames(path)
    assert np.ptp(image[150, 200].astype(int)) < 12  # grey outside
    assert np.ptp(image[24, 8].astype(int)) > 80  # coloured on the edge


def test_time_is_kept_where_the_model_was_slower_than_the_camera(tmp_path):
    path = tmp_path / "o.mp4"
    sink = open_sink(str(path), 10)
    for time in (0.0, 0.31, 0.5, 0.52):
        sink.write(result(time))
    sink.close()
    assert len(frames(path)) == 6  # 0.0, 0.1, 0.2, 0.3, 0.4, 0.5; two fell together


def test_a_long_pause_does_not_fill_the_disk(tmp_path):
    path = tmp_path / "o.mp4"
    sink = open_sink(str(path), 10)
    for time in (0.0, 1e6, 1e6 + 0.1, 1e6 + 0.2):
        sink.write(result(time))
    sink.close()
    assert len(frames(path)) == 1 + 101 + 2


def test_pictures_of_other_sizes_are_fitted_in(tmp_path):
    path = tmp_path / "o.avi"
    sink = open_sink(str(path), 1)
    sink.write(result(0, (64, 96)))
    sink.write(result(1, (200, 100), 200))
    sink.close()
    first, second = frames(path)
    assert first.shape == second.shape == (64, 96, 3)
    assert second[40, 48].mean() > 150
    assert second[40, 5].mean() < 30  # bars at the sides


def test_nothing_is_left_of_a_run_without_frames(tmp_path):
    open_sink(str(tmp_path / "o.mp4"), 10).close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_lost_frames_is_not_passed_off_as_whole(tmp_path):
    path = tmp_path / "o.avi"
    sink = open_sink(str(path), 10)
    for i in range(12):
        sink.write(result(i / 10))
    (part,) = tmp_path.iterdir()
    sink._writer.release()  # as if the disk had been full from here on
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(SinkError, match=r"only 0 of 12 frames reached the disk; is it full\?"):
        sink.close()
    assert list(tmp_path.iterdir()) == []


def test_only_containers_that_opencv_can_write(tmp_path):
    with pytest.raises(SinkError, match=r"o\.gif: name it \.mp4, \.mkv, \.avi"):
        open_sink(str(tmp_path / "o.gif"), 10)


def test_a_size_that_a_format_does_not_take_is_named_and_leaves_nothing(tmp_path):
    sink = open_sink(str(tmp_path / "o.mp4"), 10)
    with pytest.raises(SinkError, match=r"no \.mp4 of 1x1 pixels; \.avi takes more sizes"):
        sink.write(result(0, (1, 1)))
    sink.close()
    assert not list(tmp_path.iterdir())

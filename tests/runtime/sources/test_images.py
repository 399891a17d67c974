from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest

from edgenn.errors import SourceError
from edgenn.runtime.sources import Options
from edgenn.runtime.sources.images import open_source


def test_natural_order_with_paths_and_time(pictures):
    frames = list(open_source(str(pictures), Options(fps=2)))
    assert [f.path for f in frames] == [
        str(pictures / f"{name}.png") for name in ("shot1", "shot2", "shot10")
    ]
    assert [f.time for f in frames] == [0, 0.5, 1]


def test_unreadable_pictures_are_counted_named_and_skipped(pictures, caplog):
    (pictures / "shot3.png").write_text("no picture", encoding="utf-8")
    (pictures / "notes.txt").write_text("not even called one", encoding="utf-8")
    source = open_source(str(pictures), Options())
    with caplog.at_level(logging.WARNING, "edgenn"):
        frames = list(source)
    assert [f.index for f in frames] == [0, 1, 3]
    assert source.dropped == 1
    assert "shot3.png cannot be read as a picture" in caplog.text
    assert "notes.txt" not in caplog.text


def test_a_jpeg_that_lost_its_end_is_not_looked_at(tmp_path, caplog):
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = cv2.imencode(".jpg", image)[1].tobytes()
    (tmp_path / "1.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "2.jpg").write_bytes(data + b"what some cameras write behind it")
    (tmp_path / "3.jpg").touch()
    source = open_source(str(tmp_path), Options())
    (frame,) = source
    assert frame.path == str(tmp_path / "2.jpg")
    assert source.dropped == 2
    assert "1.jpg cannot be read as a picture: it is a JPEG that lost its end" in caplog.text
    assert "3.jpg cannot be read as a picture: it is empty" in caplog.text


def test_one_picture(pictures):
    (frame,) = open_source(str(pictures / "shot1.png"), Options())
    assert frame.image[0, 0].tolist() == [0, 255, 0]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"has no pictures in it \(\.bmp, "):
        open_source(str(tmp_path), Options())


def test_only_unreadable_pictures_is_a_failure(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(SourceError, match="not one picture"):
        list(open_source(str(tmp_path), Options()))

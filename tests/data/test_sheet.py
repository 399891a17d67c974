from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgenn.data import Clip, Picture, Recording
from edgenn.data.sheet import write_sheet
from edgenn.errors import DataError


def test_pictures_with_boxes(tmp_path):
    samples = []
    for i in range(3):
        path = tmp_path / f"{i}.png"
        cv2.imwrite(str(path), np.full((300, 480, 3), 20 + i, np.uint8))
        boxes = np.array([[96, 60, 384, 240]], np.float32)
        samples.append(Picture(path, np.array([i % 2]), boxes, "g"))
    write_sheet(samples, ["cät", "dog"], (), tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    tile = sheet[4:244, 4:244].astype(int)
    coloured = np.ptp(tile, axis=2) > 60
    # The box at a fifth and four fifths of a picture that is scaled by a half.
    assert coloured[60, 48]
    assert coloured[100:110, 48].all()
    assert coloured[120, 100:110].all()
    assert not coloured[70:90, 100:150].any()


def test_every_class_is_shown(tmp_path):
    """Many pictures of one class do not push out the others."""
    samples = []
    for i in range(60):
        path = tmp_path / f"{i}.png"
        colour = (255, 0, 0) if i < 59 else (0, 0, 255)
        cv2.imwrite(str(path), np.full((8, 8, 3), colour, np.uint8))
        ids = np.array([int(i == 59)])
        samples.append(Picture(path, ids, np.zeros((0, 4), np.float32), "g"))
    write_sheet(samples, ["blue", "red"], (), tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png")).astype(int)
    assert ((sheet == (0, 0, 255)).all(2)).sum() > 40_000


def test_recordings_are_plotted_per_class(tmp_path):
    values = np.stack([np.sin(np.arange(200) / 9), np.zeros(200)], 1).astype(np.float32)
    ids = np.repeat([0, 1], 100)
    samples = [Recording("r.csv", values, ids, 50.0, "g")]
    write_sheet(samples, ["walk", "run", "never"], ("x", "y"), tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[1] > 2 * sheet.shape[0]  # two plots beside each other
    for half in np.array_split(sheet, 2, axis=1):
        assert (np.ptp(half.astype(int), axis=2) > 60).sum() > 300


def test_nothing_to_draw(tmp_path):
    with pytest.raises(DataError, match="no sample"):
        write_sheet([], ["a"], (), Path(tmp_path / "sheet.png"))


def test_clips_by_their_middle_frame(tmp_path):
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 64))
    for i in range(40):
        writer.write(np.full((64, 64, 3), 200 if 25 <= i < 35 else 20, np.uint8))
    writer.release()
    clip = Clip(path, 2.0, 4.0, 0, "g", "", (64, 64), 10.0, 20)
    write_sheet([clip], ["wave"], (), tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert abs(int(sheet[150, 150, 0]) - 200) < 10

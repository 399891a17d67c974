from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edgenn.errors import UsageError
from edgenn.ops.video_path import video_path
from edgenn.runtime.sinks.video import open_sink
from edgenn.runtime.sources.video import Video
from edgenn.types import Detections, Frame, Result


def test_a_name_with_a_colon_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sink = open_sink("a:b.avi", 10)
    for number in range(5):
        frame = Frame(np.zeros((48, 64, 3), np.uint8), number / 10, number, "test")
        sink.write(Result(frame, Detections.empty(("x",)), (), {}, 0))
    sink.close()
    with Video("a:b.avi") as video:
        assert sum(1 for _ in video) == 5


def test_what_is_above_a_linked_folder_is_that_of_the_folder_itself(tmp_path):
    (tmp_path / "far" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "inner")
    (tmp_path / "far" / "v.avi").touch()
    assert Path(video_path(tmp_path / "link" / ".." / "v.avi")).exists()


def test_a_name_that_is_no_utf8_is_refused_where_opencv_would_end_the_process(tmp_path):
    name = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.avi")
    Path(name).write_bytes(b"something")
    for opened in (video_path, Video, open_sink):
        with pytest.raises(UsageError, match=r"/caf\\xe9\.avi: .* rename it"):
            opened(name)

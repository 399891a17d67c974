from __future__ import annotations

import logging
import re

import cv2
import numpy as np
import pytest

from edgenn.errors import SourceError
from edgenn.runtime.sources import Options
from edgenn.runtime.sources._container import missing_bytes
from edgenn.runtime.sources.video import open_source

CODECS = {"avi": "MJPG", "mp4": "mp4v", "mkv": "mp4v", "webm": "VP80"}


@pytest.fixture(params=CODECS)
def video(request, tmp_path):
    path = tmp_path / f"v.{request.param}"
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter.fourcc(*CODECS[request.param]), 25, (96, 64)
    )
    rng = np.random.default_rng(0)
    for _ in range(30):
        writer.write(rng.integers(0, 255, (64, 96, 3)).astype(np.uint8))
    writer.release()
    return path


def test_delivers_all_frames_with_media_time(video):
    frames = list(open_source(str(video), Options()))
    assert len(frames) == 30
    assert np.allclose([f.time for f in frames], np.arange(30) / 25, atol=0.002)
    assert missing_bytes(video) == 0


@pytest.mark.parametrize("share", [0.5, 0.999])
def test_a_file_cut_inside_a_frame_is_a_failure_after_what_decodes(video, share):
    data = video.read_bytes()
    cut = video.with_stem("cut")
    cut.write_bytes(data[: int(len(data) * share)])
    assert 0 < missing_bytes(cut) <= len(data) - len(cut.read_bytes()) + 1
    frames = []
    with pytest.raises(SourceError, match=rf"cut short.* least {missing_bytes(cut)} bytes"):
        frames.extend(open_source(str(cut), Options()))
    if video.suffix != ".mp4":  # its index comes last, so nothing decodes
        assert len(frames) in (range(5, 20) if share == 0.5 else range(27, 31))


@pytest.fixture
def damaged(tmp_path):
    """Makes a video of 100 frames some of which cannot be found any more."""
    path = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (96, 64))
    for _ in range(100):
        writer.write(np.full((64, 96, 3), 128, np.uint8))
    writer.release()
    data = bytearray(path.read_bytes())
    # Frames are chunks "00dc", also listed in the index at the end; readers pass over other names.
    chunks = [i for i in range(len(data)) if data.startswith(b"00dc", i)]

    def damage(count: int):
        for i in [*chunks[20 : 20 + count], *chunks[120 : 120 + count]]:
            data[i : i + 4] = b"JUNK"
        path.write_bytes(data)
        return open_source(str(path), Options())

    return damage


def test_a_few_frames_lost_to_damage_are_counted(damaged, caplog):
    source = damaged(5)
    with caplog.at_level(logging.WARNING, "edgenn"):
        assert len(list(source)) == 95
    assert source.dropped == 5
    assert "95 of 100 frames read" in caplog.text


def test_many_frames_lost_to_damage_are_a_failure(damaged):
    source = damaged(30)
    with pytest.raises(SourceError, match="damaged: only 70 of 100 frames can be read"):
        list(source)
    assert source.dropped == 30


def test_what_is_no_video_is_refused(tmp_path):
    text = tmp_path / "v.mp4"
    text.write_text("hello there", encoding="utf-8")
    with pytest.raises(SourceError, match="cannot be opened as a video: it is none"):
        open_source(str(text), Options())


def test_a_header_without_frames_is_a_failure(video):
    data = video.read_bytes()
    video.write_bytes(data[: 4 if video.suffix == ".mp4" else 600])
    with pytest.raises(SourceError):
        list(open_source(str(video), Options()))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://user:secret@127.0.0.1:9/x", "rtsp://127.0.0.1:9/x"),
        ("rtsp://user:se@secret@127.0.0.1:9/x@y", "rtsp://127.0.0.1:9/x@y"),
        (
            "http://127.0.0.1:9/v?user=me&password=secret&n=1",
            "http://127.0.0.1:9/v?user=me&password=***&n=1",
        ),
        ("rtsp://127.0.0.1:9/user=me_password=secret", "rtsp://127.0.0.1:9/user=me_password=***"),
    ],
)
def test_an_unreachable_stream_is_named_without_its_password(capfd, url, shown):
    with pytest.raises(SourceError, match=rf"{re.escape(shown)} cannot be opened") as caught:
        open_source(url, Options())
    assert "secret" not in str(caught.value)
    capfd.readouterr()

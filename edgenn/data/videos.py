"""Video files: finding them, and what their containers say, without decoding them."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgenn.data import Progress
from edgenn.data.images import files
from edgenn.errors import DataError
from edgenn.ops.video_path import video_path
from edgenn.runtime.sources import _container
from edgenn.types import Image

SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
_MOST_FPS = 1000


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a video file.

    Attributes:
        size: Height, width in pixels; (0, 0) where it cannot be opened.
        fps: Frames per second; 0 where it does not say.
        frames: Number of frames.
        digest: Hash of the file's bytes.
        fault: Why it cannot be used; empty where it can.
    """

    size: tuple[int, int] = (0, 0)
    fps: float = 0.0
    frames: int = 0
    digest: str = ""
    fault: str = ""


def find(folder: Path) -> list[Path]:
    """All video files below ``folder``, sorted; hidden ones are passed over."""
    return [path for path in files(folder) if path.suffix.lower() in SUFFIXES]


def inspect(paths: Sequence[Path], progress: Progress) -> dict[Path, Facts]:
    """Open every file once, in parallel, and decode its first frame."""
    tick = progress("check videos", len(paths))
    known = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, found in zip(paths, pool.map(_facts, paths), strict=True):
            known[path] = found
            tick()
    return known


def frame(path: Path, number: int) -> Image:
    """Decode one frame, (H, W, 3) uint8 BGR.

    Raises:
        DataError: There is none of that number, or it cannot be decoded.
    """
    capture = cv2.VideoCapture(video_path(path))
    try:
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        ok, image = capture.read()
    finally:
        capture.release()
    if not ok:
        raise DataError(f"{path}: frame {number} cannot be decoded")
    return np.asarray(image, np.uint8)


def read(path: Path, first: int, count: int) -> Iterator[Image]:
    """Decode frames one after the other, (H, W, 3) uint8 BGR.

    Ends early where the file does: containers promise a frame too many now and then.

    Args:
        path: The video file.
        first: Number of the first frame.
        count: How many.
    """
    capture = cv2.VideoCapture(video_path(path))
    try:
        # Seeking lands on the wrong frame in some containers.
        for _ in range(first):
            if not capture.grab():
                return
        for _ in range(count):
            ok, image = capture.read()
            if not ok:
                return
            yield np.asarray(image, np.uint8)
    finally:
        capture.release()


def _facts(path: Path) -> Facts:
    try:
        missing = _container.missing_bytes(path)
        digest = _digest(path)
    except OSError as error:
        return Facts(fault=f"cannot be read: {error.strerror}")
    if missing:
        return Facts(fault=f"the video is cut short: at least {missing} bytes are missing")
    capture = cv2.VideoCapture(video_path(path))
    try:
        return _opened(capture, digest)
    except DataError as error:
        return Facts(fault=str(error))
    finally:
        capture.release()


def _opened(capture: cv2.VideoCapture, digest: str) -> Facts:
    ok, image = capture.read() if capture.isOpened() else (False, None)
    if not ok or image is None:
        raise DataError("not a video that OpenCV can decode, or a damaged one")
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    fps = fps if math.isfinite(fps) and 0 < fps <= _MOST_FPS else 0.0
    frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    if frames <= 0:  # some containers do not say
        frames = 1
        while capture.grab():
            frames += 1
    return Facts((image.shape[0], image.shape[1]), fps, frames, digest)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

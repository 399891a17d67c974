"""A Matroska file of JPEG pictures, written so that it can be read up to any cut.

OpenCV's own writer knows no times but a constant rate, keeps a full disk to itself and
holds frames back. Here each picture is a cluster of its own with its time, whole when it
is written, and a failed write is an error. Written after RFC 9559, as far as it is needed.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

_HEADER, _SEGMENT, _INFO, _TRACKS = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B
_TRACK, _VIDEO, _CLUSTER, _TIME, _BLOCK = 0xAE, 0xE0, 0x1F43B675, 0xE7, 0xA3
_UNKNOWN_SIZE = b"\x01" + 7 * b"\xff"
_KEYFRAME = b"\x81\x00\x00\x80"  # track 1, at the cluster's time


class MjpegWriter:
    """Writes one picture after the other into an open file, from its beginning.

    Args:
        file: Where to; it must be able to seek for `finish`.
        size: Width, height in pixels of the first picture. Others may differ, which
            players do not like but `edgenn` does not mind.
        fps: Nominal rate, 0 where nobody knows.

    Raises:
        OSError: It cannot be written.
    """

    def __init__(self, file: BinaryIO, size: tuple[int, int], fps: float) -> None:
        self._file = file
        header = _element(0x4282, b"matroska") + _number(0x4287, 4) + _number(0x4285, 2)
        duration = _element(0x4489, struct.pack(">d", 0))
        info = _number(0x2AD7B1, 1_000_000) + duration  # times are in milliseconds
        info += _element(0x4D80, b"edgenn") + _element(0x5741, b"edgenn")
        width, height = size
        track = _number(0xD7, 1) + _number(0x73C5, 1) + _number(0x83, 1) + _number(0x9C, 0)
        track += _element(0x86, b"V_MJPEG")
        track += _number(0x23E383, round(1e9 / fps)) if fps > 0 else b""
        track += _element(_VIDEO, _number(0xB0, width) + _number(0xBA, height))
        start = _element(_HEADER, header) + _id(_SEGMENT) + _UNKNOWN_SIZE
        start += _element(_INFO, info)
        self._duration_at = start.index(duration) + len(duration) - 8
        start += _element(_TRACKS, _element(_TRACK, track))
        file.write(start)
        self.position = len(start)

    def add(self, jpeg: bytes, time: float) -> int:
        """Append a picture.

        Args:
            jpeg: The picture, encoded.
            time: Seconds from the start of the file, at least 0.

        Returns:
            Where its bytes begin in the file.

        Raises:
            OSError: It cannot be written; what was written before stays readable.
        """
        block = _KEYFRAME + jpeg
        head = _number(_TIME, round(time * 1e3)) + _id(_BLOCK) + _size(len(block))
        head = _id(_CLUSTER) + _size(len(head) + len(block)) + head
        self._file.write(head + block)
        begin = self.position + len(head) + len(_KEYFRAME)
        self.position = begin + len(jpeg)
        return begin

    def finish(self, duration: float) -> None:
        """Fill in the length in seconds, which players want to know."""
        self._file.seek(self._duration_at)
        self._file.write(struct.pack(">d", duration * 1e3))


def _id(code: int) -> bytes:
    return code.to_bytes((code.bit_length() + 7) // 8, "big")


def _size(size: int) -> bytes:
    return (size | 1 << 56).to_bytes(8, "big")


def _element(code: int, content: bytes) -> bytes:
    return _id(code) + _size(len(content)) + content


def _number(code: int, value: int) -> bytes:
    return _element(code, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))

"""A USB webcam that a program plays: USB/IP carries it to vhci_hcd, uvcvideo drives it.

    python _webcam.py PORT SERIAL FAULT_FILE

USB Video Class 1.1 over one bulk endpoint: MJPG and YUYV in two sizes at 15 and 10 frames a second,
brightness, gain, and exposure by hand or by itself. What it does wrong is a word in FAULT_FILE: cut
(half of each JPEG is missing), rubbish, silent, or ok. It is plugged out by killing the process.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from collections import deque
from pathlib import Path

import cv2
import numpy as np

SIZES = ((320, 240), (640, 480))
_INTERVALS = (666666, 1000000)  # in 100 ns
_PAYLOAD = 16384
_STALL, _UNLINKED = -32, -104
_STRINGS = {1: "Virtual", 2: "Virtual Webcam"}
# By unit and selector: bytes, lowest, highest, step, value; of the exposure's mode the step says
# which there are.
_CONTROLS = {
    (1, 2): [1, 1, 8, 9, 8],  # exposure: 1 by hand, 8 by itself
    (1, 4): [4, 1, 5000, 1, 156],
    (2, 2): [2, 0, 255, 1, 128],  # brightness
    (2, 4): [2, 0, 100, 1, 0],  # gain
}


def _frames(kind: int) -> bytes:
    """Frame descriptors of a format."""
    text = b""
    for i, (width, height) in enumerate(SIZES, 1):
        rates = struct.pack("<IB2I", _INTERVALS[0], 2, *_INTERVALS)
        body = struct.pack("<BBHHIII", i, 0, width, height, 1, 1 << 28, width * height * 2) + rates
        text += bytes((len(body) + 3, 0x24, kind)) + body
    return text + bytes((6, 0x24, 13, 1, 1, 4))


def _configuration() -> bytes:
    yuyv = b"YUY2" + bytes.fromhex("0000 1000 8000 00aa00389b71")
    streams = bytes((11, 0x24, 6, 1, len(SIZES), 1, 1, 0, 0, 0, 0)) + _frames(7)
    streams += bytes((27, 0x24, 4, 2, len(SIZES))) + yuyv + bytes((16, 1, 0, 0, 0, 0)) + _frames(5)
    header = struct.pack("<BBBBHBBBBBBBBB", 15, 0x24, 1, 2, 15 + len(streams), 0x81, 0, 3, 0, 0, 0,
                         1, 0, 0)  # fmt: skip
    units = bytes((18, 0x24, 2, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0x0A, 0, 0))
    units += bytes((12, 0x24, 5, 2, 1, 0, 0, 2, 0x01, 0x02, 0, 0))
    units += bytes((9, 0x24, 3, 3, 1, 1, 0, 2, 0))
    control = struct.pack("<BBBHHIBB", 13, 0x24, 1, 0x0110, 13 + len(units), 48000000, 1, 1) + units
    body = bytes((8, 11, 0, 2, 14, 3, 0, 0)) + bytes((9, 4, 0, 0, 0, 14, 1, 0, 0)) + control
    body += bytes((9, 4, 1, 0, 1, 14, 2, 0, 0)) + header + streams
    body += struct.pack("<BBBBHB", 7, 5, 0x81, 2, 512, 0)
    return struct.pack("<BBHBBBBB", 9, 2, 9 + len(body), 2, 1, 0, 0x80, 250) + body


class Webcam:
    """Answers what the kernel asks, one transfer after the other."""

    def __init__(self, wire: socket.socket, serial: str, fault: Path) -> None:
        self._wire, self._fault = wire, fault
        self._strings = {**_STRINGS, 3: serial}
        self._settings = bytearray(self._settle(b"\0\0\1\1"))
        self._waiting: deque[tuple[int, int]] = deque()  # transfers that want picture data
        self._parts: deque[bytes] = deque()
        self._due, self._toggle, self._made = 0.0, 0, {}

    def run(self) -> None:
        """Until the kernel closes the connection."""
        while True:
            if select.select([self._wire], [], [], 0.005)[0]:
                head = self._take(48)
                if not head:
                    return
                self._answer(head)
            self._stream()

    def _take(self, size: int) -> bytes:
        return self._wire.recv(size, socket.MSG_WAITALL) if size else b""

    def _send(self, seq: int, status: int, data: bytes = b"", size: int | None = None) -> None:
        length = len(data) if size is None else size
        self._wire.sendall(struct.pack(">5I5i8x", 3, seq, 0, 0, 0, status, length, 0, 0, 0) + data)

    def _answer(self, head: bytes) -> None:
        command, seq, _, into, endpoint = struct.unpack_from(">5I", head)
        if command == 2:  # a transfer is taken back
            (victim,) = struct.unpack_from(">I", head, 20)
            there = [one for one in self._waiting if one[0] == victim]
            for one in there:
                self._waiting.remove(one)
            status = _UNLINKED if there else 0
            self._wire.sendall(struct.pack(">5Ii24x", 4, seq, 0, 0, 0, status))
            return
        (length,) = struct.unpack_from(">i", head, 24)
        if endpoint:
            self._waiting.append((seq, length))
            return
        kind, request, value, index, _ = struct.unpack_from("<BBHHH", head, 40)
        if not into:
            given = self._take(length)
            if kind & 0x60 == 0x20:
                self._set(value, index, given)
            elif (kind, request) == (2, 1):  # the stream has ended
                self._parts.clear()
            self._send(seq, 0, size=length)
            return
        told = self._get(kind, request, value, index)
        self._send(seq, _STALL if told is None else 0, (told or b"")[:length])

    def _get(self, kind: int, request: int, value: int, index: int) -> bytes | None:
        if kind & 0x60 == 0x20:
            return self._control(request, value, index)
        if request != 6:
            return bytes(2) if request == 0 else None
        if value >> 8 == 1:
            return struct.pack("<BBHBBBBHHHBBBB", 18, 1, 0x0200, 0xEF, 2, 1, 64, 0x1D6B, 0x0102,
                               0x0100, 1, 2, 3, 1)  # fmt: skip
        if value >> 8 == 2:
            return _configuration()
        if value >> 8 == 3:
            text = self._strings.get(value & 255, "").encode("utf-16-le") or b"\x09\x04"
            return bytes((len(text) + 2, 3)) + text
        return None

    def _control(self, request: int, value: int, index: int) -> bytes | None:
        if index & 255 == 1:  # of the stream
            if request in (0x85, 0x86):
                return b"\x22\0" if request == 0x85 else b"\3"
            return bytes(self._settings)
        known = _CONTROLS.get((index >> 8, value >> 8))
        if known is None:
            return b"\6" if index >> 8 == 0 else None  # the last error: no such request
        size, low, high, step, now = known
        if request == 0x86:
            return b"\3"
        told = {0x81: now, 0x82: low, 0x83: high, 0x84: step, 0x85: size, 0x87: now}[request]
        return told.to_bytes(2 if request == 0x85 else size, "little")

    def _set(self, value: int, index: int, given: bytes) -> None:
        if index & 255 == 1:
            self._settings = bytearray(self._settle(given))
            self._parts.clear()
        elif (known := _CONTROLS.get((index >> 8, value >> 8))) is not None:
            known[4] = int.from_bytes(given, "little")

    def _settle(self, wish: bytes) -> bytes:
        """The nearest that there is."""
        code, frame = min(max(wish[2], 1), 2), min(max(wish[3], 1), len(SIZES))
        asked = struct.unpack_from("<I", wish, 4)[0] if len(wish) >= 8 else _INTERVALS[0]
        interval = min(_INTERVALS, key=lambda one: abs(one - asked))
        width, height = SIZES[frame - 1]
        return struct.pack("<HBBI10xIIIBBBB", 1, code, frame, interval, width * height * 2,
                           _PAYLOAD, 48000000, 0, 0, 0, 0)  # fmt: skip

    def _stream(self) -> None:
        now = time.monotonic()
        if not self._parts and self._waiting and now >= self._due:
            self._due = max(self._due + struct.unpack_from("<I", self._settings, 4)[0] / 1e7, now)
            fault = self._fault.read_text().strip()
            if fault != "silent":
                self._cut_up(self._picture(self._settings[2], self._settings[3] - 1, fault))
        while self._parts and self._waiting:
            seq, _ = self._waiting.popleft()
            self._send(seq, 0, self._parts.popleft())

    def _picture(self, code: int, frame: int, fault: str) -> bytes:
        """A red square on grey, which tiny-detect sees."""
        if (code, frame) not in self._made:
            width, height = SIZES[frame]
            image = np.full((height, width, 3), 20, np.uint8)
            image[height // 6 : height // 3, width // 8 : width // 4] = (0, 0, 255)
            if code == 1:
                data = cv2.imencode(".jpg", image)[1].tobytes()
            else:
                y, red, blue = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb))
                packed = np.stack([y, blue], axis=2)
                packed[:, 1::2, 1] = red[:, 1::2]
                data = packed.tobytes()
            self._made[code, frame] = data
        data = self._made[code, frame]
        return {"cut": data[: len(data) // 2], "rubbish": bytes(5000)}.get(fault, data)

    def _cut_up(self, data: bytes) -> None:
        room = _PAYLOAD - 2
        self._toggle ^= 1
        for at in range(0, len(data), room):
            last = 2 if at + room >= len(data) else 0
            self._parts.append(bytes((2, 0x80 | last | self._toggle)) + data[at : at + room])


def main() -> None:
    """Plug in, and play until unplugged."""
    port, serial, fault = sys.argv[1:]
    ours, theirs = socket.socketpair()
    text = f"{port} {theirs.fileno()} {0x10002} 3"  # 3: high speed
    Path("/sys/devices/platform/vhci_hcd.0/attach").write_text(text, encoding="ascii")
    theirs.close()
    Webcam(ours, serial, Path(fault)).run()


if __name__ == "__main__":
    main()

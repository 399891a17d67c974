from __future__ import annotations

import struct

import pytest

from edgenn.runtime.doctor.modes import Mode, look


class Camera:
    """Answers like a driver: formats with their sizes and rates."""

    def __init__(self, caps, formats):
        self.caps, self.formats = caps, formats

    def __call__(self, fd, request, buffer):
        size, number = request >> 16 & 0x3FFF, request & 0xFF
        assert size == len(buffer)
        if number == 0:
            struct.pack_into("<II", buffer, 84, 0x84A00001, self.caps)
            return
        (index,) = struct.unpack_from("<I", buffer, 0)
        try:
            if number == 2:
                buffer[44:48] = list(self.formats)[index]
            elif number == 74:
                how, *sides = list(self.formats[bytes(buffer[4:8])])[index]
                struct.pack_into(f"<{len(sides) + 1}I", buffer, 8, how, *sides)
            else:
                code, width, height = struct.unpack_from("<4sII", buffer, 4)
                rates = self.formats[code].get((1, width, height), [])
                struct.pack_into("<3I", buffer, 16, 1, *rates[index])
        except IndexError:
            raise OSError(22, "Invalid argument") from None


@pytest.fixture
def node(tmp_path):
    path = tmp_path / "video0"
    path.touch()
    return path


def test_lists_formats_sizes_and_rates(node):
    formats = {
        b"MJPG": {(1, 1280, 720): [(1, 30), (1, 15)], (1, 640, 480): [(1001, 30000)]},
        b"YUYV": {(1, 640, 480): [(2, 15)]},
    }
    assert look(node, Camera(0x04200001, formats)) == (
        True,
        (
            Mode("MJPG", 1280, 720, (30.0, 15.0)),
            Mode("MJPG", 640, 480, (29.97,)),
            Mode("YUYV", 640, 480, (7.5,)),
        ),
    )


def test_of_a_camera_that_scales_freely_it_is_the_largest(node):
    formats = {b"RG10": {(3, 16, 4608, 1, 16, 2592, 1): []}}
    assert look(node, Camera(0x1, formats)) == (True, (Mode("RG10", 4608, 2592, ()),))


def test_a_codec_captures_nothing(node):
    # As the Pi's bcm2835-codec: memory to memory, several planes.
    assert look(node, Camera(0x04004000, {})) == (False, ())


def test_what_is_no_camera_or_is_gone_says_nothing(node, tmp_path):
    assert look(node) == (None, ())
    assert look(tmp_path / "gone") == (None, ())

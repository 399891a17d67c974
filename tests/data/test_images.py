from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgenn.data import quiet
from edgenn.data.images import find, inspect, read
from edgenn.errors import DataError

Image = pytest.importorskip("PIL.Image")


def smooth(height=48, width=64):
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 255, (4, 4, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def jpeg(image, progressive=0):
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("lost", [2, 3, 40, 600])
@pytest.mark.parametrize("tail", [b"", b"\0" * 64])
def test_truncated_jpeg_is_found(tmp_path, progressive, lost, tail):
    whole = jpeg(smooth(), progressive)
    path = tmp_path / "cut.jpg"
    path.write_bytes(whole[: len(whole) - lost] + tail)
    with pytest.raises(DataError, match="truncated JPEG"):
        read(path)
    path.write_bytes(whole + b"\0" * 64)  # cameras pad whole files like this
    assert read(path).shape == (48, 64, 3)


def test_thumbnail_in_a_truncated_jpeg_does_not_make_it_whole(tmp_path):
    whole, thumbnail = jpeg(smooth()), jpeg(smooth(8, 8))
    segment = b"\xff\xe2" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[:2] + segment + whole[2:])
    assert read(path).shape == (48, 64, 3)
    path.write_bytes(whole[:2] + segment + whole[2:-100])
    with pytest.raises(DataError, match="truncated"):
        read(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"<html>not found</html>", "not a picture"), (b"\xff\xd8", "truncated")],
)
def test_no_picture(tmp_path, content, reason):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read(path)
    assert reason in inspect([path], quiet)[path].fault


def test_missing_file_is_a_fault_not_a_crash(tmp_path):
    path = tmp_path / "gone.png"
    assert "cannot be read" in inspect([path], quiet)[path].fault


def test_sixteen_bit_grey_keeps_its_upper_byte(tmp_path):
    levels = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    cv2.imwrite(str(tmp_path / "deep.png"), levels)
    image = read(tmp_path / "deep.png")
    assert image.dtype == np.uint8
    assert np.array_equal(image, np.repeat((levels >> 8).astype(np.uint8)[..., None], 3, 2))


def test_cmyk_is_read_in_its_true_colour(tmp_path):
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[..., 1:3] = 255  # magenta and yellow make red
    Image.fromarray(inks, "CMYK").save(tmp_path / "print.jpg", quality=95)
    assert np.abs(read(tmp_path / "print.jpg")[8, 8].astype(int) - (0, 0, 255)).max() < 8


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_exif_rotation_is_applied(tmp_path, name):
    stored = np.zeros((20, 40, 3), np.uint8)
    stored[:, :20] = 255  # left half white; turned clockwise it is the upper half
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / name, exif=exif)
    image = read(tmp_path / name)
    assert image.shape == (40, 20, 3)
    assert image[:16].mean() > 240 > 15 > image[24:].mean()


def test_hidden_and_other_files_are_passed_over(tmp_path):
    for name in ("b.PNG", "a.jpg", "._a.jpg", "notes.txt", "__MACOSX/a.jpg", ".git/x.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert [p.name for p in find(tmp_path)] == ["a.jpg", "b.PNG"]

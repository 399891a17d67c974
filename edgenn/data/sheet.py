"""Contact sheets: one look tells whether labels and samples fit together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgenn.bundle.store import atomically
from edgenn.data import Clip, Picture, Recording, videos
from edgenn.data.images import read
from edgenn.errors import DataError
from edgenn.runtime.draw import color_of
from edgenn.types import Image

_TILE, _LINE = 240, 20
_COLUMNS, _ROWS = 6, 4
_PLOT = (220, 470)
_PLOT_READINGS = 400
_PAPER, _INK, _FAINT = (255, 255, 255), (40, 40, 40), (200, 200, 200)
Color = tuple[int, int, int]


def write_sheet(
    samples: Sequence[Picture] | Sequence[Recording] | Sequence[Clip],
    labels: Sequence[str],
    channels: Sequence[str],
    path: Path,
) -> None:
    """Write a PNG with pictures of all classes, or a plot of the channels per class.

    A clip is shown by the frame in its middle.

    Args:
        samples: What can be used.
        labels: Class names.
        channels: Names of the sensor channels; empty for pictures.
        path: Where to write.

    Raises:
        DataError: There are no samples.
        BundleError: It cannot be written.
    """
    pictures = [s for s in samples if isinstance(s, Picture | Clip)]
    recordings = [s for s in samples if isinstance(s, Recording)]
    if pictures:
        tiles = [_picture(p, labels) for p in _choose(pictures, len(labels))]
        columns = _COLUMNS
    elif recordings:
        tiles = _plots(recordings, labels, channels)
        columns = 3
    else:
        raise DataError("there is no sample to draw")
    done, png = cv2.imencode(".png", _grid(tiles, columns))
    assert done
    atomically(path, lambda temporary: _write(temporary, png.tobytes()))


def _choose(pictures: Sequence[Picture | Clip], classes: int) -> list[Picture | Clip]:
    """As many as fit, spread over the set, all classes in turn."""
    by_class: dict[int, list[int]] = {}
    for i, picture in enumerate(pictures):
        for class_id in np.unique(picture.class_ids).tolist() or [classes]:
            by_class.setdefault(class_id, []).append(i)
    wanted = min(_COLUMNS * _ROWS, len(pictures))
    each = -(-wanted // max(1, len(by_class)))
    rounds = [
        [members[int(k * len(members) / each)] for _, members in sorted(by_class.items())]
        for k in range(each)
    ]
    order = dict.fromkeys(i for chosen in rounds for i in chosen)
    order |= dict.fromkeys(range(len(pictures)))
    chosen = sorted(list(order)[:wanted], key=lambda i: min(pictures[i].class_ids, default=classes))
    return [pictures[i] for i in chosen]


def _picture(picture: Picture | Clip, labels: Sequence[str]) -> Image:
    image = read(picture.path) if isinstance(picture, Picture) else _middle(picture)
    boxes = picture.boxes if isinstance(picture, Picture) else np.zeros((0, 4), np.float32)
    scale = _TILE / max(image.shape[:2])
    size = [max(1, round(side * scale)) for side in image.shape[:2]]
    tile: Image = np.full((_TILE + _LINE, _TILE, 3), _PAPER, np.uint8)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    tile[: size[0], : size[1]] = cv2.resize(image, (size[1], size[0]), interpolation=how)
    for box, class_id in zip(boxes * scale, picture.class_ids.tolist(), strict=False):
        x1, y1, x2, y2 = (round(float(v)) for v in box)
        cv2.rectangle(tile, (x1, y1), (x2, y2), color_of(class_id), 2)
        _write_label(tile, labels[class_id], (x1, y1), color_of(class_id))
    if len(picture.class_ids) and not len(boxes):
        class_id = int(picture.class_ids[0])
        _write_label(tile, labels[class_id], (0, 0), color_of(class_id))
    _text(tile, picture.path.name[-30:], (2, _TILE + 14), _INK)
    return tile


def _middle(clip: Clip) -> Image:
    return videos.frame(clip.path, round(clip.start * clip.fps) + clip.frames // 2)


def _plots(
    recordings: Sequence[Recording], labels: Sequence[str], channels: Sequence[str]
) -> list[Image]:
    plots = []
    for class_id, name in enumerate(labels):
        best = max(recordings, key=lambda r: int((r.class_ids == class_id).sum()))
        members = np.flatnonzero(best.class_ids == class_id)
        if len(members):
            values = best.values[members[0] :][:_PLOT_READINGS]
            title = f"{name}: {len(values) / best.rate:.1f} s of {best.name}"
            plots.append(_plot(values, title, channels))
    return plots


def _plot(values: NDArray[np.float32], title: str, channels: Sequence[str]) -> Image:
    height, width = _PLOT
    tile: Image = np.full((height, width, 3), _PAPER, np.uint8)
    top, bottom, left, right = 42, height - 12, 46, width - 8
    low, high = float(values.min()), float(values.max())
    span = (high - low) or 1.0
    for level in (low, (low + high) / 2, high):
        y = round(bottom - (level - low) / span * (bottom - top))
        cv2.line(tile, (left, y), (right, y), _FAINT, 1)
        _text(tile, f"{level:.2g}", (2, y + 4), _INK)
    xs = np.linspace(left, right, len(values))
    x = left
    for i, channel in enumerate(channels):
        blue, green, red = (round(0.75 * v) for v in color_of(i))  # bright lines fade on white
        ys = bottom - (values[:, i] - low) / span * (bottom - top)
        points = np.stack([xs, ys], 1).round().astype(np.int32)
        cv2.polylines(
            tile, [points], isClosed=False, color=(blue, green, red), lineType=cv2.LINE_AA
        )
        x += _text(tile, channel, (x, 32), (blue, green, red)) + 10
    _text(tile, title, (left, 14), _INK)
    return tile


def _write_label(tile: Image, text: str, corner: tuple[int, int], color: Color) -> None:
    (width, height), _ = cv2.getTextSize(_plain(text), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    x = max(0, min(corner[0], tile.shape[1] - width - 4))
    y = max(0, min(corner[1], _TILE - height - 6))
    cv2.rectangle(tile, (x, y), (x + width + 4, y + height + 6), color, cv2.FILLED)
    _text(tile, text, (x + 2, y + height + 2), (0, 0, 0))


def _text(tile: Image, text: str, at: tuple[int, int], color: Color) -> int:
    """Write text; returns its width in pixels."""
    plain = _plain(text)
    cv2.putText(tile, plain, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, color, 1, cv2.LINE_AA)
    return int(cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)[0][0])


def _plain(text: str) -> str:
    # OpenCV's fonts have no other letters.
    return text.encode("ascii", "replace").decode()


def _grid(tiles: list[Image], columns: int) -> Image:
    columns = min(columns, len(tiles))
    blank = np.full_like(tiles[0], 255)
    framed = [
        np.pad(tile, ((4, 4), (4, 4), (0, 0)), constant_values=255)
        for tile in (*tiles, *[blank] * (-len(tiles) % columns))
    ]
    rows = [np.hstack(framed[i : i + columns]) for i in range(0, len(framed), columns)]
    return np.vstack(rows)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)

"""Small nets that find drawn squares by their colour, for tests of files from elsewhere.

A `Net` undoes the scaling of its family, and compares the mean colour of every cell with two
colours. Each test writes down what is seen in the encoding of one layout. So boxes come out where
the squares were drawn, with the score that is due, only if colour order, scaling, fit and decoding
are those of the family: nothing here is taken from `edgenn.ops`.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

SIZE = (64, 128)
FRAME = (128, 192)
LABELS = ("red", "blue")
# Red, green, blue; in the wrong order each is far from both.
COLOURS = ((200.0, 40.0, 90.0), (30.0, 60.0, 220.0))
# Of a cell that has the colour exactly; half a grey level off, it would be 0.02 less.
SCORE = 1 / (1 + math.exp(-3))
UNIT = ((0.0,) * 3, (255.0,) * 3)
AS_IS = ((0.0,) * 3, (1.0,) * 3)
SIGNED = ((127.5,) * 3, (127.5,) * 3)
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
IMAGENET_BGR = (IMAGENET[0][::-1], IMAGENET[1][::-1])


@dataclass(frozen=True)
class Thing:
    """A square that fills a cell, and the box that nets draw about it.

    Attributes:
        class_id: Of `LABELS` and `COLOURS`.
        stride: Of the grid that sees it.
        row: Of its cell.
        column: Of its cell.
        reach: Net pixels from the middle of the cell to the left, top, right and bottom edge.
    """

    class_id: int
    stride: int
    row: int
    column: int
    reach: tuple[float, float, float, float]

    @property
    def middle(self) -> tuple[float, float]:
        """x, y of the cell in net pixels."""
        return (self.column + 0.5) * self.stride, (self.row + 0.5) * self.stride


RED = Thing(0, 16, 1, 2, (10, 9, 6, 12))
BLUE = Thing(1, 32, 1, 2, (18, 17, 12, 8))
THINGS = (RED, BLUE)


def to_frame(x: float, y: float, fit: str) -> tuple[float, float]:
    """Where a net pixel of an input of `SIZE` lies in a picture of `FRAME`."""
    return {
        "stretch": (x * 1.5, y * 2),
        "letterbox": ((x - 16) * 2, y * 2),
        "start": (x * 2, y * 2),
        # The largest cut of these sides is (96, 192), of which 7/8 are kept.
        "crop": (12 + x * 1.3125, 22 + y * 1.3125),
        "same": (x, y),
    }[fit]


def draw(fit: str, things: Sequence[Thing] = THINGS, frame: tuple[int, int] = FRAME) -> np.ndarray:
    """A dark picture, BGR, with a square for each thing."""
    picture = np.full((*frame, 3), 20, np.uint8)
    for thing in things:
        x, y = thing.middle
        half = thing.stride / 2
        left, top = map(round, to_frame(x - half, y - half, fit))
        right, bottom = map(round, to_frame(x + half, y + half, fit))
        picture[top:bottom, left:right] = COLOURS[thing.class_id][::-1]
    return picture


def assert_found(
    found,
    fit: str,
    things: Sequence[Thing] = THINGS,
    score: float = SCORE,
    atol: float = 0.02,
    slack: float = 3e-3,
) -> None:
    """The boxes of these things lie where they should in the picture, and there are no others."""
    names = [found.name(i) for i in range(len(found))]
    assert sorted(names) == sorted(LABELS[thing.class_id] for thing in things)
    for thing in things:
        i = names.index(LABELS[thing.class_id])
        (x, y), (left, top, right, bottom) = thing.middle, thing.reach
        wanted = [*to_frame(x - left, y - top, fit), *to_frame(x + right, y + bottom, fit)]
        np.testing.assert_allclose(found.boxes[i], wanted, atol=atol)
        np.testing.assert_allclose(found.scores[i], score, atol=slack)


@dataclass(frozen=True)
class Cells:
    """All cells of some grids, one grid after the other, each row by row.

    Attributes:
        middles: (N, 2) x, y in net pixels.
        strides: (N, 1).
        reach: (N, 4) of the box that each cell speaks of.
    """

    middles: np.ndarray
    strides: np.ndarray
    reach: np.ndarray

    @property
    def corners(self) -> np.ndarray:
        """(N, 4) x1 y1 x2 y2 in net pixels."""
        return np.concatenate(
            [self.middles - self.reach[:, :2], self.middles + self.reach[:, 2:]], 1
        )

    @property
    def boxes(self) -> np.ndarray:
        """(N, 4) centre x, centre y, width, height in net pixels."""
        first, last = self.corners[:, :2], self.corners[:, 2:]
        return np.concatenate([(first + last) / 2, last - first], 1)


def cells(strides: Sequence[int], size: tuple[int, int] = SIZE) -> Cells:
    """The grids of these strides."""
    reach = {thing.stride: thing.reach for thing in THINGS}
    listed = [
        ((column + 0.5) * stride, (row + 0.5) * stride, stride, reach.get(stride, (stride,) * 4))
        for stride in strides
        for row in range(math.ceil(size[0] / stride))
        for column in range(math.ceil(size[1] / stride))
    ]
    x, y, each, edges = zip(*listed, strict=True)
    return Cells(np.stack([x, y], 1), np.array(each)[:, None], np.array(edges, np.float64))


class Net(nn.Module):
    """Tells how much each cell is like each colour.

    Args:
        scale: Mean and deviation on 0..255 that its input was normalised with.
        order: Channels of its input.
        classes: How many of the colours it knows.
        sharp: How much a logit of 3 falls for each share of the grey levels that it is off.
    """

    def __init__(self, scale=UNIT, order: str = "rgb", classes: int = 2, sharp=100.0) -> None:
        super().__init__()
        self.sharp = sharp
        self.mean, self.std = (torch.tensor(part).view(1, 3, 1, 1) for part in scale)
        self.colours = [torch.tensor(c if order == "rgb" else c[::-1]) for c in COLOURS[:classes]]

    def alike(self, image: torch.Tensor, stride: int) -> torch.Tensor:
        """(1, N, C) logits of the cells of one grid."""
        pooled = nn.functional.avg_pool2d(image * self.std + self.mean, stride, ceil_mode=True)
        far = [
            (pooled - colour.view(1, 3, 1, 1)).abs().amax(1).flatten(1) for colour in self.colours
        ]
        return 3 - torch.stack(far, 2) * (self.sharp / 255)

    def seen(self, image: torch.Tensor, strides: Sequence[int]) -> torch.Tensor:
        """(1, N, C) logits of all grids; a colour is seen by the grid of its thing alone."""
        parts = []
        for stride in strides:
            blind = [18.0 * (t.stride != stride) for t in THINGS[: len(self.colours)]]
            parts.append((self.alike(image, stride) - torch.tensor(blind)).clamp(min=-15))
        return torch.cat(parts, 1)


def constant(values: np.ndarray) -> torch.Tensor:
    """(1, ...) float32 for a net."""
    return torch.from_numpy(np.asarray(values, np.float32))[None]


def export(
    net: nn.Module,
    path: Path,
    outputs: Sequence[str] = ("output",),
    metadata: Mapping[str, str] | None = None,
    size: tuple[int, int] = SIZE,
    more: Mapping[str, torch.Tensor] | None = None,
    batch: bool = True,
) -> Path:
    """Write a net as ONNX.

    Args:
        net: Takes a picture (1, 3, H, W), or (3, H, W) without a batch, and what ``more`` has.
        path: Of the file.
        outputs: Names.
        metadata: Of the file.
        size: Of the picture.
        more: Further inputs.
        batch: Whether the picture has an axis for it.
    """
    picture = torch.zeros(*([1] * batch), 3, *size)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(),
            (picture, *(more or {}).values()),
            buffer,
            input_names=["images", *(more or {})],
            output_names=list(outputs),
            opset_version=17,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, dict(metadata or {}))
    path.write_bytes(model.SerializeToString())
    return path


def convert(net: nn.Module, path: Path, int8: Sequence[np.ndarray] = ()) -> Path:
    """Write a net as TFLite, channels last; its outputs are named by the converter.

    Args:
        net: Takes a picture (1, 3, H, W) of `SIZE`.
        path: Of the file.
        int8: (1, H, W, 3) inputs to calibrate with; none leaves it in float32.
    """
    from edgenn.export.formats import Names, tflite

    nothing = Names((), ())
    data = tflite.convert(net.eval(), [np.zeros((1, 3, *SIZE), np.float32)], nothing, 17)
    if int8:
        data = tflite.int8(data, int8, recurrent=False, method="percentile")
    path.write_bytes(data)
    return path

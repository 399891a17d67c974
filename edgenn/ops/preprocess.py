"""From a picture or a window of readings to the array that a net takes.

A list of steps describes the work; the steps travel in the manifest, the code
does not. Training augments its samples and then calls the same functions.

Picture steps run in this order: one that fixes the size (`Letterbox`, `Resize` or
`CenterCrop`), then `Normalize`. A grey picture is made of the colours in between, by the
weights of OpenCV (ITU-R BT.601). Window steps: `Normalize` alone, per channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgenn.errors import ModelError
from edgenn.types import Floats, Image

# "nct" is for windows, of which each channel's readings then lie together.
Layout = Literal["nchw", "nhwc", "nct"]
Color = Literal["rgb", "bgr", "gray"]
Shrink = Literal["area", "linear"]

# Above this a manifest could ask for more memory than a device has.
MAX_SIDE = 8192

# The manifest's validator reads this off each step: an unknown key is an error.
_STRICT: dict[str, Any] = {"extra": "forbid"}


@dataclass(frozen=True)
class Letterbox:
    """Fit a picture into ``size`` with its aspect kept, and pad the rest.

    Attributes:
        size: Height, width in pixels.
        pad: Grey level of the padding, 0..255.
        align: Where the picture lies: "center", or "start" for top left.
        shrink: How it is made smaller: "area" averages, "linear" takes four pixels, which
            aliases but costs less; most other toolkits train with it.
    """

    size: tuple[int, int]
    pad: int = 114
    align: Literal["center", "start"] = "center"
    shrink: Shrink = "area"
    op: Literal["letterbox"] = "letterbox"
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    def __post_init__(self) -> None:
        _check_size(self.size)
        if not 0 <= self.pad <= 255:
            raise ModelError(f"the grey level of padding must lie in 0..255, not {self.pad}")


@dataclass(frozen=True)
class Resize:
    """Stretch a picture to ``size`` (height, width), aspect not kept.

    Attributes:
        size: Height, width in pixels.
        shrink: How it is made smaller, as in `Letterbox`.
    """

    size: tuple[int, int]
    shrink: Shrink = "area"
    op: Literal["resize"] = "resize"
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    def __post_init__(self) -> None:
        _check_size(self.size)


@dataclass(frozen=True)
class Normalize:
    """``(x * scale - mean) / std`` per channel, in the net's channel order."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float = 1.0
    op: Literal["normalize"] = "normalize"
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not self.std:
            raise ModelError(
                "normalisation needs as many values of mean as of std, "
                f"not {len(self.mean)} and {len(self.std)}"
            )
        if not np.isfinite((*self.mean, *self.std, self.scale)).all() or min(self.std) <= 0:
            raise ModelError("normalisation needs finite numbers, and std above 0")


@dataclass(frozen=True)
class CenterCrop:
    """Scale the shorter side and cut ``size`` out of the middle, as classifiers are measured.

    Attributes:
        size: Height, width in pixels.
        share: How much of the largest fitting cut is kept along each side, over 0 to 1;
            0.875 is 224 out of 256.
        shrink: How it is made smaller, as in `Letterbox`.
    """

    size: tuple[int, int]
    share: float = 0.875
    shrink: Shrink = "area"
    op: Literal["center-crop"] = "center-crop"
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    def __post_init__(self) -> None:
        _check_size(self.size)
        if not 0 < self.share <= 1:
            raise ModelError(f"the share that a cut keeps must lie in 0..1, not {self.share}")


Placing = Letterbox | Resize | CenterCrop
Step = Letterbox | Resize | CenterCrop | Normalize


@dataclass(frozen=True)
class Geometry:
    """How the net's pixels map to those of the original frame.

    ``net = frame * (scale_x, scale_y) + (pad_x, pad_y)``

    Attributes:
        frame_size: Height, width of the original frame in pixels.
        scale_x: Net pixels per frame pixel, across.
        scale_y: Net pixels per frame pixel, down.
        pad_x: Columns of padding on the left, in net pixels.
        pad_y: Rows of padding on top, in net pixels.
    """

    frame_size: tuple[int, int]
    scale_x: float
    scale_y: float
    pad_x: float = 0.0
    pad_y: float = 0.0

    def to_frame(self, boxes: Floats) -> Floats:
        """Move (N, 4) x1 y1 x2 y2 boxes from net to frame pixels, cut to the frame."""
        height, width = self.frame_size
        out: Floats = boxes.astype(np.float32)  # astype copies
        out[:, 0::2] = ((out[:, 0::2] - self.pad_x) / self.scale_x).clip(0, width)
        out[:, 1::2] = ((out[:, 1::2] - self.pad_y) / self.scale_y).clip(0, height)
        return out

    def points_to_frame(self, points: Floats) -> Floats:
        """Move points (..., 2 or more), x y first, from net to frame pixels; the rest stays."""
        out: Floats = points.astype(np.float32)
        out[..., 0] = (out[..., 0] - self.pad_x) / self.scale_x
        out[..., 1] = (out[..., 1] - self.pad_y) / self.scale_y
        return out

    def to_net(self, boxes: Floats) -> Floats:
        """Move (N, 4) x1 y1 x2 y2 boxes from frame to net pixels."""
        out: Floats = boxes.astype(np.float32)
        out[:, 0::2] = out[:, 0::2] * self.scale_x + self.pad_x
        out[:, 1::2] = out[:, 1::2] * self.scale_y + self.pad_y
        return out


def place(image: Image, step: Placing, out: Image | None = None) -> Image:
    """Bring a picture to the size of ``step``, still uint8 and in its colour order.

    Args:
        image: (H, W, 3) uint8.
        step: The size and the way to reach it.
        out: Buffer of the final size to write into, or None for a new one.

    Returns:
        (size[0], size[1], 3) uint8; ``out`` if it was given.
    """
    height, width = step.size
    if out is None:
        out = np.empty((height, width, 3), np.uint8)
    if isinstance(step, Resize):
        _resize(image, out, step.shrink)
        return out
    if isinstance(step, CenterCrop):
        top, left, bottom, right = _crop_window(image.shape[:2], step)
        _resize(image[top:bottom, left:right], out, step.shrink)
        return out
    top, left, inner_height, inner_width = _letterbox_window(image.shape[:2], step)
    bottom, right = top + inner_height, left + inner_width
    out[:top] = step.pad
    out[bottom:] = step.pad
    out[top:bottom, :left] = step.pad
    out[top:bottom, right:] = step.pad
    _resize(image, out[top:bottom, left:right], step.shrink)
    return out


def geometry(frame_size: tuple[int, ...], step: Placing) -> Geometry:
    """The mapping that `place` applies to a frame of this (height, width)."""
    height, width = frame_size[:2]
    if isinstance(step, Resize):
        return Geometry((height, width), step.size[1] / width, step.size[0] / height)
    if isinstance(step, CenterCrop):
        top, left, bottom, right = _crop_window((height, width), step)
        across, down = step.size[1] / (right - left), step.size[0] / (bottom - top)
        return Geometry((height, width), across, down, -left * across, -top * down)
    top, left, inner_height, inner_width = _letterbox_window((height, width), step)
    return Geometry((height, width), inner_width / width, inner_height / height, left, top)


def normalize(values: NDArray[np.generic], step: Normalize, out: Floats) -> Floats:
    """Write ``(values * scale - mean) / std`` into ``out``; channels come last in both.

    ``out`` may be a transposed view, which is how a planar layout is filled
    without a second pass.
    """
    gain, bias = _gain_bias(step)
    if gain.size not in (1, values.shape[-1]):
        raise ModelError(
            f"normalisation has {gain.size} channels but the input has {values.shape[-1]}"
        )
    np.multiply(values, gain, out=out, casting="unsafe")
    out += bias
    return out


class ImagePreprocessor:
    """Replays the manifest's steps on pictures, into buffers that it reuses.

    Args:
        steps: A size step, then at most one `Normalize`.
        color: Channels that the net wants; frames come as BGR.
        layout: Axis order that the model file wants.

    Raises:
        ModelError: The steps are not of that form, or not for so many channels.
    """

    def __init__(
        self,
        steps: tuple[Step, ...],
        color: Color,
        layout: Layout,
    ) -> None:
        if not steps or isinstance(steps[0], Normalize):
            raise ModelError("a picture model's first preprocessing step must fix the size")
        if len(steps) > 2 or not all(isinstance(s, Normalize) for s in steps[1:]):
            raise ModelError("a picture model takes one size step, then one normalize step")
        self.placing: Placing = steps[0]
        last = steps[-1]
        self._normalize = last if isinstance(last, Normalize) else Normalize((0.0,), (1.0,))
        if layout == "nct":
            raise ModelError("the layout nct is for windows of readings, not for pictures")
        self._reverse, self._planar = color == "rgb", layout == "nchw"
        height, width = self.placing.size
        self._placed = np.empty((height, width, 3), np.uint8)
        self._grey = np.empty((height, width), np.uint8) if color == "gray" else None
        channels = 1 if color == "gray" else 3
        planar, packed = (1, channels, height, width), (1, height, width, channels)
        self._shape = planar if self._planar else packed
        self._tensor = self.new_tensor()
        # (256, channels) float32: what each grey level of each channel becomes.
        levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], channels, axis=1)
        self._table = normalize(levels, self._normalize, np.empty(levels.shape, np.float32))
        self._columns = [np.ascontiguousarray(column)[None] for column in self._table.T]

    def new_tensor(self) -> Floats:
        """A buffer of the net's shape, float32."""
        return np.empty(self._shape, np.float32)

    def __call__(self, image: Image, out: Floats | None = None) -> tuple[Floats, Geometry]:
        """Prepare one frame.

        Args:
            image: (H, W, 3) uint8 BGR.
            out: What to fill; None fills a tensor that is valid until the next call.

        Returns:
            The net's input, (1, C, H, W) or (1, H, W, C) float32, C being 1 for grey and else
            3; and the geometry that maps boxes back.

        Raises:
            ModelError: The picture is not (H, W, 3) uint8.
        """
        check_image(image)
        place(image, self.placing, self._placed)
        return self.finish(self._placed, out), geometry(image.shape, self.placing)

    def finish(self, placed: Image, out: Floats | None = None) -> Floats:
        """The part after sizing: colours, normalisation and layout.

        Args:
            placed: (H, W, 3) uint8 BGR, already of the net's size.
            out: As for a whole frame.
        """
        out = self._tensor if out is None else out
        if self._grey is not None:
            cv2.cvtColor(placed, cv2.COLOR_BGR2GRAY, dst=self._grey)
            # One channel lies the same in both layouts.
            cv2.LUT(self._grey, self._columns[0], dst=out.reshape(self._grey.shape))
            return out
        if self._planar:
            planes = cv2.split(placed)
            for channel, plane in enumerate(planes[::-1] if self._reverse else planes):
                cv2.LUT(plane, self._columns[channel], dst=out[0, channel])
            return out
        source = cv2.cvtColor(placed, cv2.COLOR_BGR2RGB) if self._reverse else placed
        cv2.LUT(source, self._table[None], dst=out[0])
        return out


class WindowPreprocessor:
    """Normalises windows of sensor readings into one reused buffer.

    Args:
        steps: At most one `Normalize`.
        length: Readings per window.
        channels: Values per reading.
        layout: "nct" makes (1, C, T), all others (1, T, C).

    Raises:
        ModelError: A step other than `Normalize`, or more than one.
    """

    def __init__(
        self, steps: tuple[Step, ...], length: int, channels: int, layout: Layout = "nchw"
    ) -> None:
        if len(steps) > 1 or not all(isinstance(s, Normalize) for s in steps):
            raise ModelError("a sequence model takes at most one preprocessing step, normalize")
        step = steps[0] if steps else None
        self._normalize = step if isinstance(step, Normalize) else Normalize((0.0,), (1.0,))
        self._planar = layout == "nct"
        self._wanted = (length, channels)
        self._tensor = self.new_tensor()

    def new_tensor(self) -> Floats:
        """A buffer of the net's shape, float32."""
        length, channels = self._wanted
        shape = (1, channels, length) if self._planar else (1, length, channels)
        return np.empty(shape, np.float32)

    def __call__(self, values: Floats, out: Floats | None = None) -> Floats:
        """Prepare one window of (T, C) readings.

        Args:
            values: The readings.
            out: What to fill; None fills a tensor that is valid until the next call.

        Raises:
            ModelError: The window has another shape.
        """
        out = self._tensor if out is None else out
        if values.shape != self._wanted:
            wanted, got = self._wanted, values.shape
            raise ModelError(
                f"the model takes windows of {wanted[0]} readings x {wanted[1]} channels, "
                f"not {' x '.join(map(str, got))}"
            )
        normalize(values, self._normalize, out[0].T if self._planar else out[0])
        return out


def check_image(image: Image) -> None:
    """Refuse anything but an (H, W, 3) uint8 picture.

    Raises:
        ModelError: Says what the array is instead.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ModelError(
            "a frame must be (height, width, 3) uint8 in BGR order, not "
            f"{tuple(image.shape)} {image.dtype}; convert it with cv2.cvtColor first"
        )


def _check_size(size: tuple[int, int]) -> None:
    if not all(0 < side <= MAX_SIDE for side in size):
        raise ModelError(f"a picture's sides must lie in 1..{MAX_SIDE} pixels, not {size}")


def _letterbox_window(frame_size: tuple[int, ...], step: Letterbox) -> tuple[int, int, int, int]:
    height, width = step.size
    ratio = min(height / frame_size[0], width / frame_size[1])
    inner_height = max(1, min(height, round(frame_size[0] * ratio)))
    inner_width = max(1, min(width, round(frame_size[1] * ratio)))
    if step.align == "start":
        return 0, 0, inner_height, inner_width
    return (height - inner_height) // 2, (width - inner_width) // 2, inner_height, inner_width


def _crop_window(frame_size: tuple[int, ...], step: CenterCrop) -> tuple[int, int, int, int]:
    height, width = frame_size[:2]
    ratio = min(height / step.size[0], width / step.size[1]) * step.share
    inner_height = max(1, min(height, round(step.size[0] * ratio)))
    inner_width = max(1, min(width, round(step.size[1] * ratio)))
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    return top, left, top + inner_height, left + inner_width


def _resize(image: Image, out: Image, shrink: Shrink) -> None:
    size = (out.shape[1], out.shape[0])
    if image.shape[:2] == out.shape[:2]:
        out[:] = image
        return
    # INTER_AREA averages when shrinking, as photo libraries do; bilinear alone aliases.
    shrinks = size[0] < image.shape[1] and size[1] < image.shape[0]
    how = cv2.INTER_AREA if shrinks and shrink == "area" else cv2.INTER_LINEAR
    cv2.resize(image, size, dst=out, interpolation=how)


def _gain_bias(step: Normalize) -> tuple[Floats, Floats]:
    std = np.asarray(step.std, np.float64)
    gain = (step.scale / std).astype(np.float32)
    bias = (-np.asarray(step.mean, np.float64) / std).astype(np.float32)
    return gain, bias

"""What the scale of an 8-bit input tells of the pixels that it takes."""

from __future__ import annotations

from edgenn.runtime.foreign._wishes import SCALES

# Grey levels, and share: 127 and 128 stand for 127.5 in many files.
_SHIFT, _SHARE = 2.0, 0.02


def is_usual(pixels: tuple[float, float]) -> bool:
    """Whether the mean and std at which codes are pixels are those of a usual scaling.

    Others come of the values that a few pictures happened to have when the file was quantised.
    """
    alike = [(m[0], s[0]) for m, s in SCALES.values() if len({*m}) == len({*s}) == 1]
    mean, std = pixels
    return any(abs(mean - m) <= _SHIFT and abs(std / s - 1) <= _SHARE for m, s in alike)

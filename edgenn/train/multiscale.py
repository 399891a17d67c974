"""Batches of detectors at another size than the net will have."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from edgenn.nets._detect import STRIDES
from edgenn.train.losses import Boxes


def rescale(x: Tensor, target: Boxes, factor: float) -> tuple[Tensor, Boxes]:
    """Resize a batch and its boxes to the nearest size that the net can take.

    Args:
        x: (B, 3, H, W), both sides multiples of the coarsest stride.
        target: Per picture boxes (N, 4) in net pixels, and class ids (N,).
        factor: About how much, above 0.

    Returns:
        Both at the new size.
    """
    step = STRIDES[-1]
    old = (x.shape[2], x.shape[3])
    size = [max(1, round(side * factor / step)) * step for side in old]
    if tuple(size) == old:
        return x, target
    y, x_ = (new / side for new, side in zip(size, old, strict=True))
    resized = functional.interpolate(x, size, mode="bilinear", align_corners=False)
    return resized, [((boxes * (x_, y, x_, y)).astype("float32"), ids) for boxes, ids in target]

"""Which cell of a detector's grid answers for which true box.

Task-aligned assignment: TOOD, Feng et al. 2021 (https://arxiv.org/abs/2108.07755).
A cell is good for a box if it lies inside, already gives its class a high
score and already predicts a box that overlaps it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ALPHA, BETA = 1.0, 6.0
TOP = 13


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The true boxes of a batch, padded to the same number per picture.

    Attributes:
        boxes: (B, M, 4) float32 x1 y1 x2 y2, net pixels; zeros where padded.
        classes: (B, M) int64; 0 where padded.
        valid: (B, M) bool, False where padded.
    """

    boxes: Tensor
    classes: Tensor
    valid: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """What each cell should say.

    Attributes:
        positive: (B, N) bool, cells that answer for a box.
        index: (B, N) int64, which box of the picture; 0 where not positive.
        quality: (B, N) float32 in 0..1, the score that the box's class should
            get there; 0 where not positive.
    """

    positive: Tensor
    index: Tensor
    quality: Tensor


@torch.no_grad()
def assign(scores: Tensor, boxes: Tensor, points: Tensor, truth: Truth, reach: float) -> Assignment:
    """Assign cells to boxes.

    Args:
        scores: (B, N, C) float32 in 0..1.
        boxes: (B, N, 4) float32, what the cells predict, net pixels.
        points: (N, 2) float32, centres of the cells, net pixels.
        truth: The true boxes.
        reach: Net pixels; boxes smaller than this are treated as this large
            when cells are sought, so that each has at least one.
    """
    overlap = iou(truth.boxes[:, :, None], boxes[:, None])
    picked = truth.classes[:, None, :].expand(-1, scores.shape[1], -1)
    score = scores.gather(2, picked).transpose(1, 2)
    metric = score**ALPHA * overlap**BETA
    metric = metric * _inside(points, truth.boxes, reach) * truth.valid[..., None]

    best, cells = metric.topk(min(TOP, metric.shape[2]), dim=2)
    chosen = torch.zeros_like(metric).scatter_(2, cells, (best > 0).to(metric.dtype))
    # A cell that several boxes want goes to the one that it overlaps most.
    wanted = overlap * chosen
    index = wanted.argmax(1)
    chosen = chosen * torch.zeros_like(chosen).scatter_(1, index[:, None], 1.0)

    metric, overlap = metric * chosen, overlap * chosen
    scale = overlap.amax(2, keepdim=True) / metric.amax(2, keepdim=True).clamp(min=1e-30)
    quality = (metric * scale).amax(1)
    positive = chosen.amax(1) > 0
    return Assignment(positive, index * positive, quality * positive)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4) that broadcast, 0..1."""
    inter, union, _ = _parts(a, b)
    return inter / union


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU of boxes (..., 4), -1..1.

    Rezatofighi et al. 2019 (https://arxiv.org/abs/1902.09630).
    """
    inter, union, hull = _parts(a, b)
    return inter / union - (hull - union) / hull


def _parts(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Areas of the intersection, of the union and of the smallest box around both."""
    inner = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    outer = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    inter = inner.clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inter
    return inter, union.clamp(min=1e-7), outer.prod(-1).clamp(min=1e-7)


def _inside(points: Tensor, boxes: Tensor, reach: float) -> Tensor:
    """(B, M, N): whether each centre lies in each box, small boxes grown to ``reach``."""
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = ((boxes[..., 2:] - boxes[..., :2]) / 2).clamp(min=reach / 2)
    offset = (points[None, None] - middle[:, :, None]).abs()
    return (offset <= half[:, :, None]).all(-1)

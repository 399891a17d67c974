"""What training minimises, per task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edgenn.ops.boxes import Form
from edgenn.ops.decode.ltrb import MAX_LOG, centers
from edgenn.train.assign import Truth, assign, giou
from edgenn.types import Floats

Boxes = Sequence[tuple[Floats, NDArray[np.int64]]]

BOX_WEIGHT = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """A batch's loss.

    Attributes:
        total: Scalar to minimise.
        parts: Its terms, for the log.
    """

    total: Tensor
    parts: dict[str, Tensor]


class CrossEntropy(nn.Module):
    """Cross entropy with label smoothing (Szegedy et al. 2016) and class weights.

    Args:
        smoothing: Share of the target spread over all classes, 0..1.
        weights: (C,) weight of each class, or None.
    """

    def __init__(self, smoothing: float = 0.0, weights: Tensor | None = None) -> None:
        super().__init__()
        self._loss = nn.CrossEntropyLoss(weights, label_smoothing=smoothing)

    def forward(self, outputs: Tensor, target: Tensor, x: Tensor) -> Loss:
        """Loss of logits (B, C) against class ids (B,) int64.

        For sequences, of (B, S, C) against (B, T): that of the last reading of each
        step, nothing where it is -1. Every sample weighs the same.
        """
        del x
        target = target.to(outputs.device)
        if outputs.ndim == 2:
            return Loss(self._loss(outputs, target), {})
        step = target.shape[1] // outputs.shape[1]
        wanted = target[:, step - 1 :: step]
        each = functional.cross_entropy(
            outputs.float().transpose(1, 2),
            wanted,
            self._loss.weight,
            ignore_index=-1,
            reduction="none",
            label_smoothing=self._loss.label_smoothing,
        )
        asked = (wanted >= 0).sum(1)
        return Loss((each.sum(1) / asked.clamp(min=1)).sum() / (asked > 0).sum().clamp(min=1), {})


class Detection(nn.Module):
    """Loss of a detector of the ``ltrb`` layout.

    Scores are trained towards the quality of the box that goes with them:
    quality focal loss, Li et al. 2020 (https://arxiv.org/abs/2006.04388), over
    the assignment of `edgenn.train.assign`. Boxes: 1 - GIoU, weighted by that
    quality. Both are divided by the batch's summed quality.

    Args:
        strides: Of the grid's levels.
        form: What the four numbers of a box are; see `edgenn.ops.decode.ltrb`.
    """

    def __init__(self, strides: Sequence[int], form: Form = "edges") -> None:
        super().__init__()
        self.strides, self._form = tuple(strides), form
        self._reach = float(min(strides))
        self._grids: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def forward(self, outputs: tuple[Tensor, Tensor], target: Boxes, x: Tensor) -> Loss:
        """Loss of (boxes (B, N, 4) in strides, scores (B, N, C) logits) for pictures ``x``.

        ``target`` has per picture (M, 4) boxes in net pixels and (M,) class ids.
        """
        logits = outputs[1].float()
        points, boxes = self.boxes(outputs[0], (x.shape[2], x.shape[3]))
        truth = pad(target, logits.device)
        given = assign(logits.sigmoid(), boxes, points, truth, self._reach)

        mass = given.quality.sum().clamp(min=1.0)
        classes = truth.classes.gather(1, given.index)
        wanted = torch.zeros_like(logits)
        wanted.scatter_(2, classes[..., None], given.quality[..., None])
        what = _quality_focal(logits, wanted).sum() / mass
        at = given.positive
        true_boxes = truth.boxes.gather(1, given.index[..., None].expand(-1, -1, 4))
        where = ((1 - giou(boxes[at], true_boxes[at])) * given.quality[at]).sum() / mass
        total = what + BOX_WEIGHT * where
        return Loss(total, {"class": what.detach(), "box": where.detach()})

    def resemblance(
        self, outputs: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor], size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """The two terms of the loss, with another net's answers as the truth of every cell.

        Args:
            outputs: Boxes and scores of the net.
            wanted: Boxes (B, N, 4) in net pixels and logits (B, N, C) of the other one.
            size: Height and width of the pictures.
        """
        logits, scores = outputs[1].float(), wanted[1].float().sigmoid()
        best = scores.amax(2)
        mass = best.sum().clamp(min=1.0)
        what = _quality_focal(logits, scores).sum() / mass
        boxes = self.boxes(outputs[0], size)[1]
        where = ((1 - giou(boxes, wanted[0])) * best).sum() / mass
        return what, BOX_WEIGHT * where

    def boxes(self, values: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Centres (N, 2) of the cells, and boxes (B, N, 4), both in net pixels.

        The same as `edgenn.ops.decode.ltrb.to_boxes`, with gradients.
        """
        if size not in self._grids:
            points, scales = (torch.from_numpy(a) for a in centers(size, self.strides))
            self._grids[size] = points.to(values.device), scales.to(values.device)
        points, scales = self._grids[size]
        values = values.float()
        if self._form == "centre":
            middle = points + (values[..., :2] - 0.5) * scales
            half = values[..., 2:].clamp(max=MAX_LOG).exp() * scales / 2
            return points, torch.cat([middle - half, middle + half], -1)
        reach = values * scales
        return points, torch.cat([points - reach[..., :2], points + reach[..., 2:]], -1)


def pad(target: Boxes, device: torch.device) -> Truth:
    """Lists of boxes as tensors of equal length; at least one row each."""
    rows = max([1, *(len(ids) for _, ids in target)])
    boxes = torch.zeros(len(target), rows, 4)
    classes = torch.zeros(len(target), rows, dtype=torch.int64)
    valid = torch.zeros(len(target), rows, dtype=torch.bool)
    for i, (these, ids) in enumerate(target):
        boxes[i, : len(ids)] = torch.as_tensor(these).reshape(-1, 4)
        classes[i, : len(ids)] = torch.as_tensor(ids)
        valid[i, : len(ids)] = True
    return Truth(boxes.to(device), classes.to(device), valid.to(device))


def class_weights(counts: NDArray[np.int64], strength: float) -> Tensor:
    """(C,) weights ``count ** -strength``, of mean 1 over the samples; absent classes get 0."""
    with np.errstate(divide="ignore"):
        weights = np.where(counts > 0, counts.astype(np.float64) ** -strength, 0.0)
    weights *= counts.sum() / max((weights * counts).sum(), 1e-12)
    return torch.from_numpy(weights.astype(np.float32))


def _quality_focal(logits: Tensor, wanted: Tensor) -> Tensor:
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (wanted - logits.sigmoid()).square() * entropy

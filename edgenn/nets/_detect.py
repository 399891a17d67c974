"""What the detectors of all families share: levels, the last layers, the rows of the outputs."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgenn.errors import UsageError
from edgenn.nets import NetSpec
from edgenn.ops.boxes import Form

# Pixels per cell of the levels, in the order of the outputs' rows.
STRIDES = (8, 16, 32)
# Rare positives do not drown the start of training: focal loss, Lin et al. 2017
# (https://arxiv.org/abs/1708.02002).
PRIOR = 0.01
# Distances start near this many strides, so that no cell begins with a dead ReLU.
START = 2.0


class Outputs(nn.Module):
    """Class logits and boxes of one level, in a form of `edgenn.ops.decode.ltrb`.

    Distances to four edges per cell: FCOS, Tian et al. 2019 (https://arxiv.org/abs/1904.01355).
    The two stay apart to the end, so that they never share a quantisation scale.

    Args:
        width: Channels of both features.
        classes: Number of labels.
        objectness: Add to the logits of all classes one that is computed from the
            features of the box: how sure it is that there is anything. The sum of
            logits stands for the product of probabilities in YOLOX, Ge et al. 2021
            (https://arxiv.org/abs/2107.08430).
        form: What the four numbers of a box are.
    """

    def __init__(
        self, width: int, classes: int, *, objectness: bool = False, form: Form = "edges"
    ) -> None:
        super().__init__()
        self._form = form
        self.scores, self.distances = nn.Conv2d(width, classes, 1), nn.Conv2d(width, 4, 1)
        self.objectness = nn.Conv2d(width, 1, 1) if objectness else None
        rare = -math.log((1 - PRIOR) / PRIOR)
        size = START if form == "edges" else math.log(2 * START)
        starts = [(self.scores, rare), (self.distances, size), (self.objectness, 0.0)]
        for conv, start in starts:
            if conv is None:
                continue
            assert conv.bias is not None
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.constant_(conv.bias, start)
        if form == "centre":
            nn.init.constant_(self.distances.bias[:2], 0.5)  # type: ignore[index]  # there is one

    def forward(self, what: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, C, H, W) twice to boxes (B, H*W, 4) and logits (B, H*W, K).

        Both come row by row; boxes are in strides, distances at least 0.
        """
        distances, scores = self.distances(where), self.scores(what)
        if self._form == "edges":
            distances = functional.relu(distances)
        if self.objectness is not None:
            scores = scores + self.objectness(where)
        return distances.flatten(2).transpose(1, 2), scores.flatten(2).transpose(1, 2)


def double(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, 2H, 2W), each value four times."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def join(heads: Iterable[nn.Module], levels: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Distances (B, N, 4) and logits (B, N, K) of all levels' cells, one level after another."""
    boxes, scores = zip(*(head(x) for head, x in zip(heads, levels, strict=True)), strict=True)
    return torch.cat(boxes, 1), torch.cat(scores, 1)


def check_sides(family: str, spec: NetSpec) -> None:
    """Refuse what the levels do not divide.

    Raises:
        UsageError: The data is not pictures of a multiple of 32 pixels.
    """
    if spec.size is None or any(side % STRIDES[-1] for side in spec.size):
        raise UsageError(
            f"net.family {family} takes pictures whose sides are multiples of {STRIDES[-1]}"
        )

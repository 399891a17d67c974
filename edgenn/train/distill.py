"""Learning from a teacher beside the labels: what it says of every cell of the same picture.

Hinton et al. 2015 (https://arxiv.org/abs/1503.02531). What makes it worth much
where photos are few: a teacher labels every random change of them, down to the
cells that nearly hold something.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgenn.bundle.manifest import ImageInput
from edgenn.errors import RecipeError
from edgenn.ops.preprocess import Normalize
from edgenn.recipe.load import expand
from edgenn.recipe.schema import Distill
from edgenn.train.checkpoint import Header
from edgenn.train.losses import Detection, Loss
from edgenn.train.run import load_run


class Teacher:
    """A frozen detector that another one is to resemble.

    Args:
        settings: The recipe's section.
        student: Labels and input of the network that learns.
        loss: Its loss.
        device: Where the teacher is to work.

    Raises:
        RecipeError: The two do not speak of the same things, or are no detectors.
        ModelError: The teacher's run cannot be read.
    """

    def __init__(
        self, settings: Distill, student: Header, loss: Detection, device: torch.device
    ) -> None:
        self._weight, self._loss = settings.weight, loss
        run = load_run(expand(settings.run, "train.distill.run"))
        if run.labels != student.labels:
            raise RecipeError(
                f"train.distill.run: the teacher knows {', '.join(run.labels)}, "
                f"the data has {', '.join(student.labels)}"
            )
        theirs, ours = _looks(run.input), _looks(student.input)
        if theirs != ours:
            raise RecipeError(
                f"train.distill.run: the teacher takes pictures as {theirs}, the net as {ours}; "
                "give the recipe the input.mean and input.std of the teacher"
            )
        if tuple(run.decode_params["strides"]) != loss.strides:
            raise RecipeError("train.distill.run: the teacher has cells of other strides")
        self._net = run.net.to(device)
        # Its boxes may have another form than those of the net.
        self._answers = Detection(loss.strides, run.decode_params.get("form", "edges"))

    def add(self, loss: Loss, outputs: tuple[Tensor, Tensor], x: Tensor) -> Loss:
        """Add how far outputs are from what the teacher says of the same ``x``."""
        size = (x.shape[2], x.shape[3])
        with torch.no_grad():
            boxes, scores = self._net(x)
            boxes = self._answers.boxes(boxes, size)[1]
        what, where = self._loss.resemblance(outputs, (boxes, scores), size)
        told = what + where
        return Loss(loss.total + self._weight * told, {**loss.parts, "teacher": told.detach()})


def _looks(spec: object) -> str:
    """Colour order and normalisation, in words."""
    if not isinstance(spec, ImageInput):
        return "no pictures"
    norms = [
        f"mean {[*map(float, s.mean)]}, std {[*map(float, s.std)]}"
        for s in spec.steps
        if isinstance(s, Normalize)
    ]
    return f"{spec.color} {'; '.join(norms)}"

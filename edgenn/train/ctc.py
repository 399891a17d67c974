"""Learning the order of gestures in a stream, without being told when each is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgenn.train.losses import Loss
from edgenn.train.order import gestures


class Ctc(nn.Module):
    """Connectionist temporal classification: Graves et al. 2006.

    (https://doi.org/10.1145/1143844.1143891); for gestures in streams Molchanov et
    al. 2016 (https://doi.org/10.1109/CVPR.2016.456).

    Args:
        blank: Class of steps at which nothing is said: that of the background.
    """

    def __init__(self, blank: int) -> None:
        super().__init__()
        self._blank = blank

    def forward(self, outputs: Tensor, target: Tensor, x: Tensor) -> Loss:
        """Loss of logits (B, S, C) against the classes (B, T) after each reading.

        What counts as a gesture: see `edgenn.train.order.gestures`.
        """
        del x
        orders = [gestures(row, self._blank) for row in target.cpu().numpy()]
        steps = outputs.shape[1]
        lengths = torch.tensor([len(order) for order in orders])
        loss = functional.ctc_loss(
            outputs.float().log_softmax(2).transpose(0, 1),
            torch.from_numpy(np.concatenate(orders)),
            torch.full((len(orders),), steps),
            lengths,
            self._blank,
            zero_infinity=True,
        )
        return Loss(loss, {})

"""Predictions of a network under training, over the validation samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgenn import plugins
from edgenn.bundle.manifest import Decode, ImageInput, WindowInput
from edgenn.data.feed import Feed
from edgenn.ops import decode as decoders
from edgenn.ops.decode.classes import softmax
from edgenn.ops.preprocess import Geometry, Normalize, geometry
from edgenn.ops.window import step_ends
from edgenn.recipe.schema import Recipe
from edgenn.train.build import family
from edgenn.train.evaluate import Metrics, evaluate, whole_ranking
from edgenn.train.loader import val_loader
from edgenn.types import Prediction, Steps


class Judge:
    """Measures a network on the validation samples, with the runtime's own decoder.

    Args:
        recipe: Names task, net and batch.
        feed: Validation samples.
        spec: What the net takes.
        decode: The net's decoder, as a user would have it.
        labels: Class names.
    """

    def __init__(
        self,
        recipe: Recipe,
        feed: Feed,
        spec: ImageInput | WindowInput,
        decode: Decode,
        labels: tuple[str, ...],
    ) -> None:
        self._recipe, self._feed, self._spec, self._labels = recipe, feed, spec, labels
        self._outputs: tuple[str, ...] = family(recipe.net).OUTPUTS
        self._decode = self._decoder(whole_ranking(decode))
        self._geometries: list[Geometry | None] = []

    def __call__(self, net: nn.Module) -> tuple[Metrics, list[Prediction] | list[Steps]]:
        """Metrics, and the predictions that they were computed from."""
        whole = self._recipe.task == "sequence"
        predictions = self._follow(net) if whole else self._predict(net)
        recipe, blank = self._recipe, -1
        if recipe.train.ctc:
            blank = self._labels.index(recipe.data.background)
        metrics = evaluate(recipe.task, predictions.__getitem__, self._feed, self._labels, blank)
        return metrics, predictions

    def _predict(self, net: nn.Module) -> list[Prediction]:
        if not self._geometries:
            self._geometries = [self._geometry(i) for i in range(len(self._feed))]
        settings = self._recipe.train
        device = next(net.parameters()).device
        predictions: list[Prediction] = []
        with torch.inference_mode():
            for x, _ in val_loader(self._feed, settings.batch, settings.workers):
                given = net(to_device(x, device))
                outputs = given if isinstance(given, tuple) else (given,)
                arrays = [o.float().cpu().numpy() for o in outputs]
                for row in range(len(x)):
                    one = {n: a[row : row + 1] for n, a in zip(self._outputs, arrays, strict=True)}
                    predictions.append(self._decode(one, self._geometries[len(predictions)]))
        return predictions

    def _follow(self, net: nn.Module) -> list[Steps]:
        """What the net says of every step of every sample."""
        settings, step = self._recipe.train, step_of(net)
        device = next(net.parameters()).device
        found: list[Steps] = []
        with torch.inference_mode():
            loader = val_loader(self._feed, settings.batch, settings.workers, step=step)
            for x, _ in loader:
                logits = net(to_device(x, device)).float().cpu().numpy()
                for row in logits:
                    ends = step_ends(self._feed.frame_size(len(found))[0], step)
                    found.append(Steps(ends, softmax(row[: len(ends)]), self._labels))
        return found

    def _decoder(self, decode: Decode) -> decoders.Decoder:
        size = self._spec.size if self._spec.kind == "image" else None
        module = plugins.load(decoders, decode.name)
        made: decoders.Decoder = module.build(decode.params, self._labels, size)
        return made

    def _geometry(self, i: int) -> Geometry | None:
        if self._recipe.task != "detect":
            return None
        assert self._spec.kind == "image"
        placing = self._spec.steps[0]
        assert not isinstance(placing, Normalize)
        return geometry(self._feed.raw(i).shape, placing)


def step_of(net: nn.Module) -> int:
    """Readings per step of a net over time, 1 of any other."""
    return int(getattr(net, "step", 1))


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """Move a batch; pictures get channels-last strides, on which convolutions are fastest."""
    x = x.to(device, non_blocking=True)
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x

"""The trained network as a predictor, with the device's own pre- and post-processing around it."""

from __future__ import annotations

import numpy as np
import torch

from edgenn import plugins
from edgenn.bundle.manifest import Manifest
from edgenn.ops import decode as decoders
from edgenn.ops.preprocess import Geometry, ImagePreprocessor, WindowPreprocessor
from edgenn.types import Floats, Image, Prediction


class Reference:
    """Predicts with torch what a bundle's variants should predict.

    Args:
        net: The trained network, in eval mode.
        manifest: Of the model; its variants are not read.
    """

    def __init__(self, net: torch.nn.Module, manifest: Manifest) -> None:
        self._net = net
        self._names = manifest.outputs
        spec = manifest.input
        self._images = self._windows = None
        if spec.kind == "image":
            self._images = ImagePreprocessor(spec.steps, spec.color, "nchw")
        else:
            self._windows = WindowPreprocessor(spec.steps, spec.length, len(spec.channels))
        self._decode: decoders.Decoder = plugins.load(decoders, manifest.decode.name).build(
            manifest.decode.params, manifest.labels, spec.size if spec.kind == "image" else None
        )

    def prepare(self, raw: Image | Floats) -> Floats:
        """The net's (1, ...) input of a picture or window, valid until the next call."""
        return self._prepare(raw)[0]

    def infer(self, tensor: Floats) -> dict[str, Floats]:
        """Raw outputs by name."""
        with torch.inference_mode():
            outputs = self._net(torch.from_numpy(tensor))
        values = outputs if isinstance(outputs, tuple) else (outputs,)
        return {n: v.float().cpu().numpy() for n, v in zip(self._names, values, strict=True)}

    def predict(self, raw: Image | Floats) -> Prediction:
        """Look at one picture or window."""
        tensor, geometry = self._prepare(raw)
        return self._decode(self.infer(tensor), geometry)

    def _prepare(self, raw: Image | Floats) -> tuple[Floats, Geometry | None]:
        if self._images is not None:
            return self._images(np.asarray(raw, np.uint8))
        assert self._windows is not None
        return self._windows(np.asarray(raw, np.float32)), None

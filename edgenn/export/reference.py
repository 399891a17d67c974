"""The trained network as a predictor, with the device's own pre- and post-processing around it."""

from __future__ import annotations

import numpy as np
import torch

from edgenn import plugins
from edgenn.bundle.manifest import Manifest
from edgenn.ops import decode as decoders
from edgenn.ops.decode.classes import softmax
from edgenn.ops.preprocess import Geometry, ImagePreprocessor, WindowPreprocessor
from edgenn.ops.window import step_ends
from edgenn.train.predict import step_of
from edgenn.types import Floats, Image, Prediction, Steps


class Reference:
    """Predicts with torch what a bundle's variants should predict.

    A net over time sees a recording at once: that a file gives the same step by
    step is for the file to show.

    Args:
        net: The trained network, in eval mode.
        manifest: Of the model; its variants are not read.
    """

    def __init__(self, net: torch.nn.Module, manifest: Manifest) -> None:
        self._net = net
        self._names, self._labels = manifest.outputs, manifest.labels
        # A file of windows gives what is known at the end of each.
        self._last = not manifest.state
        spec = manifest.input
        self._spec = spec
        self._images = None
        if spec.kind == "image":
            self._images = ImagePreprocessor(spec.steps, spec.color, "nchw")
        self._decode: decoders.Decoder = plugins.load(decoders, manifest.decode.name).build(
            manifest.decode.params, manifest.labels, spec.size if spec.kind == "image" else None
        )

    def prepare(self, raw: Image | Floats) -> Floats:
        """The net's (1, ...) input of a picture, recording or clip, valid until the next call."""
        return self._prepare(raw)[0]

    def outputs(self, raw: Image | Floats) -> dict[str, Floats]:
        """Raw outputs by name, as the files should give them; (S, ...) for S steps."""
        values = self._infer(self.prepare(raw))
        if self._spec.rate:
            values = {n: v[0, -1:] if self._last else v[0] for n, v in values.items()}
        return {name: value.copy() for name, value in values.items()}

    def predict(self, raw: Image | Floats) -> Prediction | Steps:
        """Look at one picture, recording or clip."""
        if self._spec.rate:
            logits = self.outputs(raw)["logits"]
            ends = step_ends(len(raw), len(raw) if self._last else step_of(self._net))
            return Steps(ends, softmax(logits), self._labels)
        tensor, geometry = self._prepare(raw)
        return self._decode(self._infer(tensor), geometry)

    def _infer(self, tensor: Floats) -> dict[str, Floats]:
        with torch.inference_mode():
            outputs = self._net(torch.from_numpy(tensor))
        values = outputs if isinstance(outputs, tuple) else (outputs,)
        return {n: v.float().cpu().numpy() for n, v in zip(self._names, values, strict=True)}

    def _prepare(self, raw: Image | Floats) -> tuple[Floats, Geometry | None]:
        if self._images is not None and self._spec.rate:
            frames = [self._images(np.asarray(frame, np.uint8))[0].copy() for frame in raw]
            return np.stack(frames, 1), None
        if self._images is not None:
            return self._images(np.asarray(raw, np.uint8))
        values = np.asarray(raw, np.float32)
        # Steps end with the recording.
        values = values[len(values) % step_of(self._net) :]
        prepare = WindowPreprocessor(self._spec.steps, *values.shape)
        return prepare(values), None

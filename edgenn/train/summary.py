"""What a network costs and sees, before it is trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgenn.bundle.manifest import ImageInput, WindowInput
from edgenn.nets._causal import Layer
from edgenn.nets._mobilenet import Backbone


@dataclass(frozen=True, slots=True)
class Summary:
    """Size of a network.

    Attributes:
        parameters: Number of weights.
        macs: Multiplications with addition per inference.
        sees: Its receptive field, as a sentence.
    """

    parameters: int
    macs: int
    sees: str

    def __str__(self) -> str:
        return f"{_short(self.parameters)} parameters, {_short(self.macs)} MACs, {self.sees}"


def summarize(net: nn.Module, spec: ImageInput | WindowInput) -> Summary:
    """Measure a network on an empty input."""
    parameters = sum(p.numel() for p in net.parameters())
    x = example(spec)
    if isinstance(net, Layer) and spec.kind == "image":
        x = x[:, None]  # one frame of video
    return Summary(parameters, macs(net, x), _sees(net, spec))


def example(spec: ImageInput | WindowInput) -> Tensor:
    """A zero input of batch 1: (1, 3, H, W) or (1, T, C)."""
    if spec.kind == "image":
        return torch.zeros(1, 3, *spec.size)
    return torch.zeros(1, spec.length, len(spec.channels))


def macs(net: nn.Module, x: Tensor) -> int:
    """Multiply-accumulates of convolutions, linear and recurrent layers for one input."""
    counts: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        if isinstance(module, nn.RNNBase):
            batch, steps = inputs[0].shape[:2]
            weights = sum(p.numel() for p in module.parameters() if p.ndim == 2)
            counts.append(batch * steps * weights)
        elif isinstance(output, Tensor) and isinstance(module, nn.Conv2d):
            counts.append(output.numel() * module.weight[0].numel())
        elif isinstance(output, Tensor) and isinstance(module, nn.Linear):
            counts.append(output.numel() * module.in_features)

    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.RNNBase)]
    hooks = [m.register_forward_hook(count) for m in layers]
    training = net.training
    try:
        with torch.no_grad():
            net.eval()(x.to(next(net.parameters()).device))
    finally:
        net.train(training)
        for hook in hooks:
            hook.remove()
    return sum(counts)


def _sees(net: nn.Module, spec: ImageInput | WindowInput) -> str:
    if spec.kind == "window":
        return f"sees {spec.length / spec.rate:.2f} s ({spec.length} readings)"
    fields = {
        stride: side
        for module in net.modules()
        if isinstance(module, Backbone)
        for stride, side in module.receptive_fields().items()
        if stride >= 8
    }
    text = ", ".join(f"{side} px at stride {stride}" for stride, side in fields.items())
    return f"receptive field of the backbone {text}" if text else "receptive field unknown"


def _short(count: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return str(count)

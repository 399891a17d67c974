"""Model families, one file per family: config, sizes, build, input spec, decoder name.

A family is a plug-in with these names:

- ``TASK``: "detect", "classify" or "sequence".
- ``SIZES``: size name to its frozen config dataclass; only numbers live there.
- ``OUTPUTS``: names of the outputs, in the order that ``forward`` returns them.
- ``DECODER``: file in ``ops/decode`` that understands those outputs.
- ``build(config, spec: NetSpec) -> torch.nn.Module``: component building; shapes live there.
- ``decode_params(config) -> dict``: parameters of the decoder that the shape fixes (strides).

``forward`` takes one float32 tensor, (B, 3, H, W) normalised RGB, (B, T, C)
normalised readings or (B, T, 3, H, W) frames, and returns a tensor or a tuple of
tensors in the order of ``OUTPUTS``. Nets over time give what they know after each
step, (B, T / step, ...), and are made of the layers of `edgenn.nets._causal`. The
module must export: static shapes, no data-dependent control flow. Activations are
ReLU or ReLU6, which quantise well, unless an option says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NetSpec:
    """What the data fixes about a net.

    Attributes:
        classes: Number of labels.
        size: Height, width of pictures and frames; None for sensor windows.
        window: Readings per window; 0 for pictures.
        channels: Values per reading; 3 for pictures.
    """

    classes: int
    size: tuple[int, int] | None = None
    window: int = 0
    channels: int = 3

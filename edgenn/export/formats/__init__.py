"""File formats that a net can be exported to, one file per format.

A format is a plug-in with these names, which is all that the flow of
``edgenn export`` needs to know of it:

- ``ENGINE``: file in ``runtime/engines`` that runs it.
- ``LAYOUT``: axis order of pictures in the file.
- ``convert(net, examples, names, opset) -> bytes``: float32 file; ``examples``
  are the (1, ...) float32 arrays that the net takes, the memory of a streaming net
  among them; ``names`` those of its inputs and outputs in the manifest.
- ``half(data) -> bytes``: float16 weights.
- ``int8(data, samples, recurrent, method) -> bytes``: ``samples`` are arrays as
  the file takes them.
- ``tensors(data, names) -> dict``: manifest tensor name to the file's own.
- ``embed(data, manifest) -> bytes``: the file with the manifest's JSON inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from edgenn.bundle.manifest import EngineName, Layout
from edgenn.compress.onnx import Method
from edgenn.types import Floats


@dataclass(frozen=True, slots=True)
class Names:
    """The manifest's names of a net's inputs and outputs, in order."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Format(Protocol):
    """A module of this package, for type checking."""

    ENGINE: EngineName
    LAYOUT: Layout

    def convert(
        self, net: nn.Module, examples: Sequence[Floats], names: Names, opset: int
    ) -> bytes:
        """Float32 file of the net."""
        ...

    def half(self, data: bytes) -> bytes:
        """The same with float16 weights."""
        ...

    def int8(
        self, data: bytes, samples: Iterable[Floats], *, recurrent: bool, method: Method
    ) -> bytes:
        """The same in int8."""
        ...

    def tensors(self, data: bytes, names: Names) -> dict[str, str]:
        """Manifest tensor names to those of the file."""
        ...

    def embed(self, data: bytes, manifest: str) -> bytes:
        """The file with the manifest inside."""
        ...

"""Inference engines, one file per engine.

A file is a plug-in with three names, so few because an engine only has to
turn arrays into arrays; what they mean is the manifest's business:

- ``SUFFIX``: ending of the model files that it runs.
- ``open_model(data: bytes, threads: int) -> Engine``.
- ``read_manifest(data: bytes) -> str | None``: the JSON embedded in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from edgenn.types import Floats


@dataclass(frozen=True)
class Tensor:
    """What an input holds.

    Attributes:
        dtype: Its numpy type.
        scale: Of integers: the step of their codes; 0 where they mean themselves.
        zero: Of integers: the code of 0.
    """

    dtype: str
    scale: float = 0.0
    zero: int = 0


class Engine(Protocol):
    """A loaded model file."""

    @property
    def inputs(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every input by the file's own tensor names; -1 where it is free."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """The file's own names of its outputs."""
        ...

    @property
    def kinds(self) -> Mapping[str, Tensor]:
        """What every input holds, by name."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """Text that the file carries, by key; of TFLite files also those that are attached."""
        ...

    def run(self, feeds: Mapping[str, Floats]) -> dict[str, Floats]:
        """One inference.

        Args:
            feeds: float32 arrays by the file's input names. Engines make of them what the
                file takes: codes of its integers, or another type.

        Returns:
            float32 arrays by the file's output names, dequantised; the next call
            leaves them as they are. Threads may call at the same time.

        Raises:
            ModelError: A tensor of another name or shape.
        """
        ...

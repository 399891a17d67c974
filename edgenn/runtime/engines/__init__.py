"""Inference engines, one file per engine.

A file is a plug-in with three names, so few because an engine only has to
turn arrays into arrays; what they mean is the manifest's business:

- ``SUFFIX``: ending of the model files that it runs.
- ``open_model(data: bytes, threads: int) -> Engine``.
- ``read_manifest(data: bytes) -> str | None``: the JSON embedded in the file.

For files that edgenn did not write a fourth, ``read_extras(data, engine) -> Extras``.
One that can compute elsewhere than on the CPU, and write a profile, has a fourth, and one that only
can write a profile the other; what they open has ``end_profiling() -> str`` then:

- ``open_on(data: bytes, threads: int, wish: Wish, profile: str | None) -> Engine``;
- ``open_profiled(data: bytes, threads: int, profile: str) -> Engine``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from edgenn.types import Floats


@dataclass(frozen=True)
class Extras:
    """What a file carries beside the net.

    Attributes:
        metadata: Text by key.
        files: Small text files that are packed into it, by name.
        scaling: Mean and std of the first input, of a picture in 0..255; None where it does not
            say.
        label_files: Names of those files that it says to hold class names.
    """

    metadata: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    scaling: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    label_files: tuple[str, ...] = ()


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
    def dtypes(self) -> Mapping[str, str]:
        """Numpy's name of the type of every input and output in the file."""
        ...

    @property
    def pixels(self) -> Mapping[str, tuple[float, float]]:
        """Mean and std that make a picture's 0..255 the codes of an 8-bit input, by its name."""
        ...

    def fix(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Settle the free dimensions of inputs, before the first run.

        Raises:
            ModelError: The model cannot take that shape.
        """
        ...

    def run(self, feeds: Mapping[str, Floats]) -> dict[str, Floats]:
        """One inference.

        Args:
            feeds: float32 arrays by the file's input names. Engines quantise
                them where the file takes integers.

        Returns:
            float32 arrays by the file's output names, dequantised; the next call
            leaves them as they are. Threads may call at the same time.

        Raises:
            ModelError: A tensor of another name or shape.
        """
        ...

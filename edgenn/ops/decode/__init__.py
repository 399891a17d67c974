"""Output layouts: from a net's tensors to the types, one file per layout.

Every file has one function::

    build(params: Mapping[str, object], labels: tuple[str, ...],
          size: tuple[int, int] | None) -> Decoder

``size`` is the net's input height and width for pictures, None for windows.
A decoder is one callable and no more, because all that differs between
detectors is how a handful of arrays turn into boxes.

A layout that is found in files that edgenn did not write has a second function::

    recognise(file: Foreign) -> Match | None

It looks at names, shapes and metadata only, and is careful: where the file may
as well be of another layout it says so by not being ``sure``.

What shapes do not tell, outputs of a few noise pictures may. They come by the decoder's names, and
a layout may have two more functions for them::

    fits(match: Match, samples: Sequence[Mapping[str, Floats]]) -> bool
    settle(match: Match, samples: Sequence[Mapping[str, Floats]],
           size: tuple[int, int]) -> tuple[Match, str]

The first says that the values cannot be of this layout, the second sets parameters and says why.
A third says that they can be of no other::

    shows(match: Match, samples: Sequence[Mapping[str, Floats]], size: tuple[int, int]) -> bool
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from edgenn.ops.preprocess import Geometry
from edgenn.types import Floats, Prediction


class Decoder(Protocol):
    """Turns the raw outputs of one inference into a prediction."""

    def __call__(self, outputs: Mapping[str, Floats], geometry: Geometry | None) -> Prediction:
        """Decode one inference.

        Args:
            outputs: Tensors by the names of the manifest, batch of 1, float32.
            geometry: Maps net pixels to frame pixels; None for windows.
        """
        ...


@dataclass(frozen=True)
class Foreign:
    """What a model file that edgenn did not write says of itself.

    Attributes:
        inputs: Shape of every input by its name in the file; -1 where it is free.
        outputs: The same of every output, in the order of the file.
        size: Height, width of the picture that it takes.
        labels: How many class names are known; 0 where none are.
        metadata: Text that the file carries, by key.
        background: Whether the first of these names stands for none of the classes.
        dtypes: Of inputs and outputs, as NumPy names them.
    """

    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    size: tuple[int, int]
    labels: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    background: bool = False
    dtypes: Mapping[str, str] = field(default_factory=dict)


Fit = Literal["letterbox", "letterbox-start", "stretch", "crop"]


@dataclass(frozen=True)
class Match:
    """How a layout reads a foreign file.

    Attributes:
        outputs: The decoder's name of each tensor, to the file's own.
        classes: Classes that the net tells apart.
        why: What spoke for it, for the user to read: "output (1, 84, 8400): 4 + 80 classes".
        sure: Whether the shapes leave no other layout that is in use.
        params: Parameters of the decoder.
        fit: How pictures of this family are brought to size: with their aspect kept and
            padding around or at the end, stretched, or cut to the middle.
        color: Channel order of this family.
        mean: Per channel on 0..255, subtracted first; None where the family does not say.
        std: Per channel on 0..255, divided by; None where the family does not say.
        pad: Grey level of padding, 0..255.
        labels: Names of the classes, where all nets of this family have the same.
        side: Height and width, in pixels, where the file leaves them free.
    """

    outputs: Mapping[str, str]
    classes: int
    why: str
    sure: bool = True
    params: Mapping[str, Any] = field(default_factory=dict)
    fit: Fit = "letterbox"
    color: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    pad: int = 114
    labels: tuple[str, ...] = ()
    side: int = 640

"""The form in which a net goes into a file: a picture at a time, a window, or the next step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from edgenn.bundle.manifest import ImageInput, State, WindowInput
from edgenn.nets._causal import Layer
from edgenn.recipe.schema import Recipe
from edgenn.types import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """A net as a file has it.

    Attributes:
        net: Takes the tensors of ``examples``, gives the outputs and then the states.
        input: What the manifest says of the input.
        state: What the manifest says of the memory; empty without one.
    """

    net: nn.Module
    input: ImageInput | WindowInput
    state: tuple[State, ...] = ()

    def examples(self, first: Floats) -> tuple[Floats, ...]:
        """Inputs for a converter: ``first``, cut to the input's length, and empty memories."""
        if isinstance(self.input, WindowInput):
            first = first[:, : self.input.length]
        elif self.input.rate:
            first = first[:, 0]
        memories = (np.full(s.shape, s.initial, np.float32) for s in self.state)
        return (np.ascontiguousarray(first), *memories)


class LastStep(nn.Module):
    """A net over time that takes a whole window and gives what is known at its end."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) to logits (B, classes)."""
        logits: Tensor = self.net(x)[:, -1]
        return logits


class NextStep(nn.Module):
    """A net over time that takes one step and its memory, and gives the next memory too."""

    def __init__(self, net: Layer) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        """(1, step, C) and the memory to logits (1, classes) and the memory."""
        logits, kept = self.net.stream(x, list(memory))
        return (logits[:, -1], *kept)


class NextFrame(nn.Module):
    """A net over video that takes one frame and its memory, and gives the next memory too."""

    def __init__(self, net: Layer) -> None:
        super().__init__()
        self.net = net

    def forward(self, frame: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        """(1, 3, H, W) and the memory to logits (1, classes) and the memory."""
        logits, kept = self.net.stream(frame[:, None], list(memory))
        return (logits[:, -1], *kept)


def form(net: nn.Module, spec: ImageInput | WindowInput, recipe: Recipe) -> Form:
    """Bring a trained net into the form that the recipe asks for.

    Args:
        net: In eval mode.
        spec: What it was trained on.
        recipe: Says which form.
    """
    if not spec.rate:
        return Form(net, spec)
    if recipe.export.form == "window":
        return Form(LastStep(net).eval(), spec)
    assert isinstance(net, Layer)
    state = tuple(
        State(input=f"state_{i}", output=f"next_{i}", shape=tuple(tensor.shape))
        for i, tensor in enumerate(net.memory(1))
    )
    if not isinstance(spec, WindowInput):
        return Form(NextFrame(net).eval(), spec, state)
    known = {"sample": recipe.input.sample, "span": recipe.input.window}
    stepwise = spec.model_copy(update={"length": net.step, "stride": net.step, **known})
    return Form(NextStep(net).eval(), stepwise, state)

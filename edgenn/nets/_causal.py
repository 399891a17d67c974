"""Layers over time that keep their past as tensors, so that they can stream.

A layer turns a chunk (B, T, C) and its memory into (B, T', C') and the memory
for the next chunk. The memory of a beginning is all zeros. What a net gives for
a whole recording is what it gives for its chunks in a row: the batch form is
the streaming form with one chunk, so the two share weights and code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from edgenn.errors import UsageError
from edgenn.nets import NetSpec

Memory = list[Tensor]
Cell = Literal["gru", "lstm"]
Pool = Literal["last", "mean", "max"]


class Layer(nn.Module):
    """A causal layer: output ``t`` depends on nothing that comes after it.

    Attributes:
        step: Readings per output; chunks must be multiples of it.
    """

    step = 1

    def memory(self, batch: int) -> Memory:
        """The memory before the first chunk: zeros."""
        del batch
        return []

    def stream(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Take the next chunk (B, T, C)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Take a whole recording (B, T, C), from its beginning."""
        return self.stream(x, self.memory(len(x)))[0]


class Each(Layer):
    """What looks at every reading on its own, such as a linear layer."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*modules)

    def stream(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """(B, T, C) to (B, T, C')."""
        return self.inner(x), memory


class Stack(Layer):
    """Several readings become one (Sak et al. 2015, https://arxiv.org/abs/1507.06947)."""

    def __init__(self, readings: int) -> None:
        super().__init__()
        self.step = readings

    def stream(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """(B, T, C) to (B, T / step, C * step)."""
        batch, length, channels = x.shape
        return x.reshape(batch, length // self.step, channels * self.step), memory


class Changes(Layer):
    """Readings, and beside them how each differs from the one before; memory: the last one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("like", torch.zeros(1), persistent=False)

    def memory(self, batch: int) -> Memory:
        """(B, 1, C)."""
        return [self.get_buffer("like").new_zeros(batch, 1, self.channels)]

    def stream(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """(B, T, C) to (B, T, 2 C)."""
        before = torch.cat([memory[0], x[:, :-1]], 1)
        return torch.cat([x, x - before], 2), [x[:, -1:]]


class Conv(Layer):
    """Convolution over the past, normalisation, ReLU.

    The memory is the readings that the next output still needs. With a stride,
    outputs are aligned to the last reading of each step.

    Args:
        inputs: Channels.
        outputs: Channels.
        kernel: Taps.
        stride: Readings per output, at most ``kernel``.
        dilation: Readings between two taps.
        act: Whether a ReLU follows.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        act: bool = True,
    ) -> None:
        super().__init__()
        self.step = stride
        self.inputs, self.past = inputs, (kernel - 1) * dilation + 1 - stride
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, 0, dilation, bias=False)
        self.norm = nn.BatchNorm1d(outputs)
        self.act = nn.ReLU() if act else nn.Identity()

    def memory(self, batch: int) -> Memory:
        """(B, past, C) readings."""
        return [self.conv.weight.new_zeros(batch, self.past, self.inputs)] if self.past else []

    def stream(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """(B, T, C) to (B, T / stride, C')."""
        if self.past:
            x = torch.cat([memory[0], x], 1)
            memory = [x[:, -self.past :]]
        y: Tensor = self.act(self.norm(self.conv(x.transpose(1, 2))))
        return y.transpose(1, 2), memory


class _Several(Layer):
    """Layers whose memories lie in a row."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def memory(self, batch: int) -> Memory:
        """The memories of all layers, in a row."""
        return [tensor for layer in self._all() for tensor in layer.memory(batch)]

    def _shared_out(self, memory: Memory) -> Iterator[tuple[Layer, Memory]]:
        """Every layer with its part of the memory."""
        for layer in self._all():
            count = len(layer.memory(1))
            yield layer, memory[:count]
            memory = memory[count:]

    def _all(self) -> list[Layer]:
        return list(self.layers)  # type: ignore[arg-type]  # a ModuleList forgets the type


class Chain(_Several):
    """One layer after another."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        super().__init__(layers)
        for layer in self._all():
            self.step *= layer.step

    def stream(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """(B, T, C) to (B, T / step, C')."""
        kept: Memory = []
        for layer, own in self._shared_out(memory):
            x, new = layer.stream(x, own)
            kept += new
        return x, kept


class Residual(Layer):
    """Adds what a layer of the same shape makes of its input to it.

    He et al. 2015 (https://arxiv.org/abs/1512.03385).
    """

    def __init__(self, inner: Layer) -> None:
        super().__init__()
        self.inner = inner

    def memory(self, batch: int) -> Memory:
        """That of the inner layer."""
        return self.inner.memory(batch)

    def stream(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """(B, T, C) to the same shape."""
        y, memory = self.inner.stream(x, memory)
        return torch.relu(x + y), memory


class Recurrent(Layer):
    """GRU (Cho et al. 2014) or LSTM (Hochreiter and Schmidhuber 1997); memory: its state."""

    def __init__(self, cell: Cell, inputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        kind = nn.GRU if cell == "gru" else nn.LSTM
        self.cells = kind(inputs, hidden, layers, batch_first=True)
        self.hidden, self.depth, self.tensors = hidden, layers, 1 if cell == "gru" else 2

    def memory(self, batch: int) -> Memory:
        """(layers, B, hidden), for an LSTM twice."""
        weight = next(self.cells.parameters())
        return [weight.new_zeros(self.depth, batch, self.hidden) for _ in range(self.tensors)]

    def stream(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """(B, T, C) to (B, T, hidden)."""
        if self.tensors == 1:
            y, state = self.cells(x, memory[0])
            return y, [state]
        y, states = self.cells(x, tuple(memory))
        return y, list(states)


class Pools(Layer):
    """Summaries of all steps so far, side by side: the last one, their mean, their maximum.

    Memory: mean and number of steps, maximum. The mean is that of all steps up
    to ``limit`` of them and from there on an exponential one of that length; the
    maximum fades as slowly. So nothing grows on an endless stream, and what is long
    past is forgotten. Features must not be negative: the maximum begins at 0.
    """

    def __init__(self, pools: Sequence[Pool], channels: int, limit: int) -> None:
        super().__init__()
        self.pools, self.channels, self.limit = tuple(dict.fromkeys(pools)), channels, limit
        self.register_buffer("like", torch.zeros(1), persistent=False)

    @property
    def width(self) -> int:
        """Features of the summary."""
        return self.channels * len(self.pools)

    def memory(self, batch: int) -> Memory:
        """Mean (B, C) with count (B, 1), and maximum (B, C), as far as they are used."""
        sizes = {"last": [], "mean": [self.channels, 1], "max": [self.channels]}
        zeros = self.get_buffer("like").new_zeros
        return [zeros(batch, size) for pool in self.pools for size in sizes[pool]]

    def stream(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """(B, T, C) to (B, T, C * number of pools)."""
        summaries: list[Tensor] = []
        kept: Memory = []
        for pool in self.pools:
            own: Memory = []
            if pool == "last":
                summary = x
            elif pool == "mean":
                summary, own = self._mean(x, memory[:2])
                memory = memory[2:]
            else:
                summary, own = self._max(x, memory[:1])
                memory = memory[1:]
            summaries.append(summary)
            kept += own
        return torch.cat(summaries, 2), kept

    def _mean(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        mean, count = memory
        means = []
        for now in x.unbind(1):
            count = (count + 1).clamp(max=self.limit)
            mean = mean + (now - mean) / count
            means.append(mean)
        return torch.stack(means, 1), [mean, count]

    def _max(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        (top,) = memory
        tops = []
        for now in x.unbind(1):
            top = torch.maximum(now, top * (1 - 1 / self.limit))
            tops.append(top)
        return torch.stack(tops, 1), [top]


class Dense(Chain):
    """Layers in a row, whose outputs are all kept: (B, T, C) to the sum of their channels.

    Huang et al. 2016 (https://arxiv.org/abs/1608.06993), for the summary only. Where a
    layer has a stride, those before it give what they know at the end of each step.
    """

    def stream(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """(B, T, C) to (B, T / step, C')."""
        kept: Memory = []
        found: list[Tensor] = []
        for layer, own in self._shared_out(memory):
            x, new = layer.stream(x, own)
            kept += new
            if layer.step > 1:
                found = [y[:, layer.step - 1 :: layer.step] for y in found]
            found.append(x)
        return torch.cat(found, 2), kept


class Beside(_Several):
    """Several layers on the same input, their outputs side by side."""

    def stream(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """(B, T, C) to (B, T, C')."""
        kept: Memory = []
        found: list[Tensor] = []
        for layer, own in self._shared_out(memory):
            y, new = layer.stream(x, own)
            found.append(y)
            kept += new
        return torch.cat(found, 2), kept


class Classifier(Chain):
    """(B, T, C) to logits (B, T / step, classes): what is known at the end of each step.

    Args:
        layers: Turn readings into a summary of all so far.
        width: Features of the summary.
        classes: Number of labels.
        dropout: Share of the summary dropped before the last layer, in training.
    """

    def __init__(self, layers: Iterable[Layer], width: int, classes: int, dropout: float) -> None:
        head = Each(nn.Dropout(dropout), nn.Linear(width, classes))
        super().__init__([*layers, head])


def check_window(family: str, spec: NetSpec, step: int) -> None:
    """Refuse what is no sensor window, or one that steps do not divide.

    Raises:
        UsageError: Says what fits.
    """
    if not spec.window:
        raise UsageError(
            f"net.family {family} takes sensor windows; use dscnn for pictures, videocrnn for video"
        )
    if step < 1 or spec.window % step:
        fits = [k for k in range(1, 17) if spec.window % k == 0]
        raise UsageError(
            f"net.family {family} takes {step} readings per step, which do not divide "
            f"input.window {spec.window}; use one of {', '.join(map(str, fits))}, or another window"
        )

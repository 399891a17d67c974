"""Layers over time that keep their past as tensors, so that they can stream.

A layer turns a chunk (B, T, C) and its memory into (B, T', C') and the memory
for the next chunk. The memory of a beginning is all zeros. What a net gives for
a whole recording is what it gives for its chunks in a row: the batch form is
the streaming form with one chunk, so the two share weights and code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


class Chain(Layer):
    """One layer after another."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        for layer in self._all():
            self.step *= layer.step

    def memory(self, batch: int) -> Memory:
        """The memories of all layers, in a row."""
        return [tensor for layer in self._all() for tensor in layer.memory(batch)]

    def stream(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """(B, T, C) to (B, T / step, C')."""
        kept: Memory = []
        for layer in self._all():
            own, memory = _take(memory, layer)
            x, new = layer.stream(x, own)
            kept += new
        return x, kept

    def _all(self) -> list[Layer]:
        return list(self.layers)  # type: ignore[arg-type]  # a ModuleList forgets the type


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
    to ``limit`` of them and from there on an exponential one of that length, so
    nothing grows on an endless stream. Features must not be negative: the
    maximum begins at 0.
    """

    def __init__(self, pools: Sequence[Pool], channels: int, limit: int) -> None:
        super().__init__()
        self.pools, self.channels, self.limit = tuple(dict.fromkeys(pools)), channels, limit
        self.register_buffer("like", torch.zeros(1), persistent=False)

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
            if pool == "last":
                summaries.append(x)
            elif pool == "mean":
                (mean, count), memory = memory[:2], memory[2:]
                summary, mean, count = self._mean(x, mean, count)
                summaries.append(summary)
                kept += [mean, count]
            else:
                top, memory = memory[0], memory[1:]
                summary = torch.cat([top[:, None], x], 1).cummax(1).values[:, 1:]
                if x.shape[1] == 1:  # what converters know, and all that a step needs
                    summary = torch.maximum(top[:, None], x)
                summaries.append(summary)
                kept.append(summary[:, -1])
        return torch.cat(summaries, 2), kept

    def _mean(self, x: Tensor, mean: Tensor, count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        means = []
        for i in range(x.shape[1]):
            count = (count + 1).clamp(max=self.limit)
            mean = mean + (x[:, i] - mean) / count
            means.append(mean)
        return torch.stack(means, 1), mean, count


def _take(memory: Memory, layer: Layer) -> tuple[Memory, Memory]:
    """The first tensors, which are this layer's, and the rest."""
    count = len(layer.memory(1))
    return memory[:count], memory[count:]


class Classifier(Chain):
    """(B, T, C) to logits (B, T / step, classes): what is known at the end of each step.

    Args:
        layers: Turn readings into features, which `Pools` sums up.
        pools: The summary.
        classes: Number of labels.
        dropout: Share of the summary dropped before the last layer, in training.
    """

    def __init__(self, layers: Iterable[Layer], pools: Pools, classes: int, dropout: float) -> None:
        width = pools.channels * len(pools.pools)
        head = Each(nn.Dropout(dropout), nn.Linear(width, classes))
        super().__init__([*layers, pools, head])


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

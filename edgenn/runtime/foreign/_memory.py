"""Which output of a foreign file is the next value of which input."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from edgenn.errors import ModelError, UsageError

Shape = tuple[int, ...]

_SIDES = {"in", "out", "input", "output", "prev", "previous", "next", "new", "old", "past",
          "present", "i", "o", "n", "0", "t"}  # fmt: skip
_LAST = re.compile(r"(.*?)(\d{1,9})(\D*)$")


@dataclass(frozen=True)
class Tensors:
    """Inputs that may be memory, and all outputs.

    Attributes:
        path: Of the file.
        inputs: Shapes of those of unknown meaning.
        outputs: Shapes of all.
        dtypes: Of both.
    """

    path: object
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    dtypes: Mapping[str, str]

    def kind(self, name: str) -> tuple[Shape, str]:
        """Shape and type of an input."""
        return self.inputs[name], self.dtypes[name]

    def alike(self, name: str, among: Sequence[str]) -> list[str]:
        """Outputs of the shape and type of an input."""
        kind = self.kind(name)
        return [o for o in among if (self.outputs[o], self.dtypes[o]) == kind]


@dataclass
class Memory:
    """What was found.

    Attributes:
        pairs: Output by input.
        reasons: One for each pair.
    """

    pairs: dict[str, str] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    def add(self, name: str, output: str, shape: Shape, why: str) -> None:
        """Keep a pair."""
        self.pairs[name] = output
        self.reasons.append(f"input {name!r} {shape}: memory, next is output {output!r}, {why}")


def find_memory(tensors: Tensors, given: Mapping[str, str]) -> Memory:
    """Pair every input of unknown meaning with an output: as told, by names, by shapes.

    Args:
        tensors: Of the file.
        given: Output by input, as the user says.

    Raises:
        ModelError: An input remains that no output goes with.
        UsageError: Several outputs may be the next value of an input, or ``given`` does not fit.
    """
    memory = Memory()
    for name, output in given.items():
        _check_given(tensors, name, output)
        memory.add(name, output, tensors.inputs[name], "as asked for")
    for name in tensors.inputs:
        if name not in memory.pairs:
            _add_named(tensors, memory, name)
    groups: dict[tuple[Shape, str], list[str]] = {}
    for name in tensors.inputs:
        if name not in memory.pairs:
            groups.setdefault(tensors.kind(name), []).append(name)
    for names in groups.values():
        _add_alike(tensors, memory, names)
    return memory


def partner(name: str, outputs: Sequence[str]) -> str | None:
    """The output whose name differs in "in" and "out", "0" and "n" or the like alone."""
    found = [o for o in outputs if o != name and _stem(o) == _stem(name)]
    return found[0] if len(found) == 1 and _stem(name) else None


def _check_given(tensors: Tensors, name: str, output: str) -> None:
    where = f"--state {name}={output}: {tensors.path}"
    for word, side, one in (("in", tensors.inputs, name), ("out", tensors.outputs, output)):
        if one not in side:
            raise UsageError(f"{where} has no such {word}put; it has {', '.join(side) or 'none'}")
    if tensors.inputs[name] != tensors.outputs[output]:
        raise UsageError(
            f"{where} takes {tensors.inputs[name]} there but gives {tensors.outputs[output]}"
        )


def _add_named(tensors: Tensors, memory: Memory, name: str) -> None:
    free = [o for o in tensors.outputs if o not in memory.pairs.values()]
    output = partner(name, free)
    # A file's own names may lie: only what has the shape can be the next value.
    if output is not None and tensors.outputs[output] == tensors.inputs[name]:
        memory.add(name, output, tensors.inputs[name], "by their names")


def _add_alike(tensors: Tensors, memory: Memory, names: list[str]) -> None:
    """Pair inputs of one shape and type with the outputs of the same that are left."""
    free = [o for o in tensors.outputs if o not in memory.pairs.values()]
    shape = tensors.inputs[names[0]]
    alike = tensors.alike(names[0], free)
    # A single number is a threshold or a count; and something has to be left to be decoded.
    if len(alike) < len(names) or len(free) == len(names) or prod(shape) < 2:
        raise ModelError(
            f"{tensors.path}: it is not known what its input {names[0]!r} {shape} takes; no "
            "output can be its next value"
        )
    if len(alike) > len(names) or not (len(names) == 1 or _numbered(names, alike)):
        raise UsageError(
            f"{tensors.path}: say which output is the next value of input "
            f"{' and of '.join(map(repr, names))} {shape}: --state {names[0]}=OUTPUT, of "
            f"{', '.join(alike)}"
        )
    why = "the only one of its shape" if len(names) == 1 else "by shape and their numbers"
    for name, output in zip(_in_order(names), _in_order(alike), strict=True):
        memory.add(name, output, shape, why)


def _in_order(names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: _number(name)[1])


def _numbered(names: list[str], outputs: list[str]) -> bool:
    """Whether numbers alone tell the names of each side apart, in the same steps on both."""
    steps = []
    for side in (names, outputs):
        parts = [_number(name) for name in side]
        numbers = sorted(number for _, number in parts)
        if len({stem for stem, _ in parts}) != 1 or len({*numbers}) != len(side) or -1 in numbers:
            return False
        steps.append([number - numbers[0] for number in numbers])
    return steps[0] == steps[1]


def _number(name: str) -> tuple[str, int]:
    """A name without the last number in it, and that number; -1 where it has none.

    TensorFlow's inputs have ``:0`` after it, LiteRT's outputs ``_output``.
    """
    found = _LAST.match(name.removesuffix(":0")) or _LAST.match(name)
    return (found[1] + found[3], int(found[2])) if found else (name, -1)


def _stem(name: str) -> tuple[str, ...]:
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    text = re.sub(r"^([hc])([0n])$", r"\1 \2", text.strip())
    return tuple(t for t in re.split(r"[^a-z0-9]+", text) if t and t not in _SIDES)

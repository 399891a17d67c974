"""How much a command looks at: the flags of the run loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import click

from edgenn.cli._options import Number, gathered
from edgenn.runtime.model import load


@dataclass(frozen=True, slots=True)
class LoopFlags:
    """The flags as the user gave them; None where he did not."""

    max_frames: int | None
    max_fps: float | None
    gate: Literal["motion"] | None
    latency_budget: float | None
    fallback: str | None

    def arguments(self, **wishes: Any) -> dict[str, Any]:  # noqa: ANN401  load's own
        """What `Pipeline` takes.

        Args:
            wishes: How the smaller model is loaded, as `load` takes them.

        Raises:
            EdgennError: There is no such smaller model.
        """
        smaller = None
        if self.fallback is not None:
            smaller = load(self.fallback, **wishes)
        return {
            "max_frames": self.max_frames,
            "max_fps": self.max_fps,
            "gate": self.gate,
            "latency_budget": self.latency_budget,
            "fallback": smaller,
        }


loop_options = gathered(
    LoopFlags,
    "loop",
    click.option("--max-frames", type=click.IntRange(min=1), help="End after so many."),
    click.option(
        "--max-fps",
        type=Number(min=0, min_open=True),
        help="Look at so many pictures a second at most.",
    ),
    click.option(
        "--gate", type=click.Choice(["motion"]), help="Leave the model out while nothing moves."
    ),
    click.option(
        "--latency-budget",
        metavar="MS",
        type=Number(min=0, min_open=True),
        help="Live: where results take longer, or the device is hot, look at fewer pictures.",
    ),
    click.option(
        "--fallback",
        metavar="MODEL",
        help="Live: a smaller model with the same labels, where fewer pictures do not help.",
    ),
    title="How much is looked at",
)

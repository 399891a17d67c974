"""Golden samples of nets over video: the first frames of clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgenn.bundle.manifest import ImageInput
from edgenn.data import quiet, videos
from edgenn.data.feed import Feed
from edgenn.errors import DataError
from edgenn.export.patterns import pattern
from edgenn.ops.pace import pick
from edgenn.ops.preprocess import Normalize, place
from edgenn.recipe.load import expand
from edgenn.recipe.schema import Recipe
from edgenn.types import Floats, Image

# A bundle should stay small, and so many steps show whether the memory is right.
LONGEST = 16


def choose(recipe: Recipe, spec: ImageInput, feed: Feed) -> list[Image | Floats]:
    """Clips as ``export.golden`` of the recipe says.

    Args:
        recipe: Says where from and how many.
        spec: The net's input.
        feed: The validation samples.

    Returns:
        (T, H, W, 3) uint8 BGR each, of the net's size and rate, at most `LONGEST` frames.

    Raises:
        DataError: The source is no video, or holds too few frames.
    """
    golden = recipe.export.golden
    if golden.source == "val":
        picks = np.linspace(0, len(feed) - 1, min(golden.count, len(feed))).round().astype(int)
        return [feed.raw(int(i))[:LONGEST] for i in picks]
    if golden.source == "synthetic":
        rng = np.random.default_rng(recipe.seed)
        return [_drifting(spec.size, rng) for _ in range(golden.count)]
    return _cut(expand(golden.source, "export.golden.source"), spec, golden.count)


def _drifting(size: tuple[int, int], rng: np.random.Generator) -> Image:
    """A pattern that moves."""
    image, step = pattern(size, rng), rng.integers(-3, 4, 2)
    return np.stack([np.roll(image, tuple(step * k), (0, 1)) for k in range(LONGEST)])


def _cut(path: Path, spec: ImageInput, count: int) -> list[Image | Floats]:
    """Clips that follow one another in a video."""
    facts = videos.inspect([path], quiet)[path]
    if facts.fault or not facts.fps:
        fault = facts.fault or "it does not say its frames per second"
        raise DataError(f"export.golden.source: {path}: {fault}")
    step = spec.steps[0]
    assert not isinstance(step, Normalize)
    wanted = set(pick(np.arange(facts.frames) / facts.fps, spec.rate)[: count * LONGEST].tolist())
    images = enumerate(videos.read(path, 0, facts.frames))
    frames = [place(image, step) for i, image in images if i in wanted]
    starts = range(0, len(frames), LONGEST)
    clips: list[Image | Floats] = [np.stack(frames[k : k + LONGEST]) for k in starts]
    if len(clips) < count:
        raise DataError(
            f"export.golden.source: {path} gives {len(clips)} clips of {LONGEST} frames, "
            f"{count} are wanted"
        )
    return clips[:count]

"""Gestures on video: a clip per file, or a list of intervals of longer videos.

The class of a clip is, whichever is there first:

- a line of the list: a CSV file with the columns path, label, start and end in
  seconds (both may be empty), and maybe group and split. It is ``data.path``
  itself, or ``labels.csv`` in that folder; then only what it lists is used.
- what ``data.label_pattern`` finds in the file's path.
- the name of the class folder that it lies in, as for pictures.

Classes are sorted naturally, 2 before 10. The group is that of the list, or by
``data.split.group``, or else the file itself. Videos may differ in size and
colour. They are opened and their first frame is decoded, to find the damaged
ones; a clip of fewer than 8 frames is bad.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from edgenn.data import Clip, Progress, Raw, Side, quiet, videos
from edgenn.data.readers._intervals import Interval, find_list, read_list
from edgenn.data.readers._site import Site, choose_labels, has_sides, natural, settle_sides, side
from edgenn.data.videos import Facts
from edgenn.errors import DataError
from edgenn.recipe.schema import Data

# A gesture of fewer is no gesture, but the end of a file.
SHORTEST = 8


def read(spec: Data, root: Path, progress: Progress = quiet) -> Raw:
    """Read clips.

    Raises:
        DataError: No video, or none that can be used.
    """
    site = Site(spec, root, progress)
    listed = find_list(root)
    if listed:
        listing = read_list(site, listed)
        drafts = [interval for found in listing.intervals.values() for interval in found]
    else:
        drafts = _by_path(site, root)
    if not drafts:
        first = f"; {site.problems[0].file}: {site.problems[0].reason}" if site.problems else ""
        raise DataError(f"{root} holds no video with a class{first}")
    labels = choose_labels(natural(draft.label for draft in drafts), spec)
    drafts = [draft for draft in drafts if draft.label in labels]
    facts = videos.inspect(sorted({draft.path for draft in drafts}), progress)
    maker = _Maker(site, labels)
    sided = settle_sides([(draft.side, draft) for draft in drafts])
    made = [maker.make(draft, facts[draft.path], side) for side, draft in sided]
    clips = tuple(clip for clip in made if clip is not None)
    return Raw(labels, clips=clips, problems=tuple(site.problems))


def _by_path(site: Site, root: Path) -> list[Interval]:
    paths = [root] if root.is_file() else videos.find(root)
    level = int(root.is_dir() and has_sides(root))
    drafts = []
    for path in paths:
        folders = path.relative_to(site.base).parts[:-1]
        try:
            label = site.label(path) or _folder(folders[level:])
        except DataError as error:
            site.report(path, str(error))
            continue
        drafts.append(Interval(path, label, 0.0, math.inf, "", side(folders[:level]), 0))
    return drafts


def _folder(folders: Sequence[str]) -> str:
    if not folders:
        raise DataError("it lies in no class folder")
    return folders[0]


class _Maker:
    """Makes clips of intervals, and remembers which were there."""

    def __init__(self, site: Site, labels: Sequence[str]) -> None:
        self._site = site
        self._ids = {name: i for i, name in enumerate(labels)}
        self._seen: dict[tuple[str, float, float], tuple[str, str]] = {}

    def make(self, draft: Interval, facts: Facts, side: Side) -> Clip | None:
        """One clip; None, and a problem, where it cannot be used."""
        name = self._site.name(draft.path)
        if draft.start or math.isfinite(draft.end):
            name = f"{name}@{draft.start:g}"
        try:
            clip = self._clip(draft, facts, side)
            return clip if self._is_new(name, draft, facts.digest) else None
        except DataError as error:
            self._site.report(name, str(error))
            return None

    def _clip(self, draft: Interval, facts: Facts, side: Side) -> Clip:
        if facts.fault:
            raise DataError(facts.fault)
        fps = facts.fps or self._site.spec.rate or 0.0
        if not fps:
            raise DataError("the video does not say its frames per second; set data.rate")
        length = facts.frames / fps
        if draft.start >= length:
            raise DataError(f"it starts at {draft.start:g} s, the video ends at {length:.4g} s")
        last = facts.frames if math.isinf(draft.end) else min(facts.frames, round(draft.end * fps))
        frames = last - round(draft.start * fps)
        if frames < SHORTEST:
            raise DataError(f"a clip of {frames} frames, at least {SHORTEST} are needed")
        rule = self._site.spec.split.group
        group = draft.group if draft.group and not rule else self._site.group(draft.path)
        class_id = self._ids[draft.label]
        span = (draft.start, draft.end)
        return Clip(draft.path, *span, class_id, group, side, facts.size, fps, frames)

    def _is_new(self, name: str, draft: Interval, digest: str) -> bool:
        key = (digest, draft.start, draft.end)
        first, label = self._seen.setdefault(key, (name, draft.label))
        if first == name:
            return True
        if label != draft.label:
            raise DataError(f"duplicate of {first} with another label")
        self._site.report(name, f"duplicate of {first}; left out", mended=True)
        return False

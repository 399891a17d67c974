"""Who is who from frame to frame: a tracker of boxes after ByteTrack.

Boxes with a high score are matched with the tracks first, those with a low one then with the
tracks that are left: what is half hidden scores low but is no news (Zhang et al. 2022,
https://arxiv.org/abs/2110.06864). Unlike there a low one also confirms a new track; else an object
whose score flickers would be counted late. Between frames a Kalman filter with constant velocity
carries each box on (SORT, Bewley et al. 2016); of what is unseen the size stays as it was. It
reckons in seconds, so that frames may be dropped: only the velocity is disturbed, by white noise
(Bar-Shalom et al. 2001, 6.2). ByteTrack's noise of the position, per frame, hides the velocity
where frames are few.

The decoder drops all below its ``conf`` before this stage sees it: for the second matching run
the model with a ``conf`` as low as ``low`` (``edgenn run --conf 0.1 --track``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edgenn.bundle.manifest import Strict
from edgenn.errors import ModelError
from edgenn.ops.assign import assign
from edgenn.ops.boxes import iou
from edgenn.runtime.temporal import Stage
from edgenn.runtime.temporal._shared import parse
from edgenn.types import Detections, Event, Floats, Frame, Prediction, Tracks, Window

Doubles = NDArray[np.float64]
# Standard deviations, as parts of the box's height. ByteTrack's are those of a measured position
# and of a new object's velocity, which it gives per frame of 30 a second. The velocity of one who
# walks strays by a third of his height a second in each second.
_POSITION, _START, _STRAY = 1 / 20, 10 * 30 / 160, 1 / 3


class Params(Strict):
    """What the manifest may set.

    Attributes:
        high: Score from which on a box is matched first, and may begin a track.
        low: Score below which a box is not looked at.
        match_iou: Least overlap of a box with where its track is expected, 0..1.
        max_age: Seconds that a track lives on unseen.
        min_hits: Frames in a row that a new track must be seen in before it counts.
        max_tracks: At most so many at once; further objects wait.
    """

    high: float = Field(0.4, ge=0, le=1)
    low: float = Field(0.1, ge=0, le=1)
    match_iou: float = Field(0.2, gt=0, le=1)
    max_age: float = Field(1.0, ge=0, le=60)
    min_hits: int = Field(2, ge=1, le=100)
    max_tracks: int = Field(300, ge=1, le=1000)

    @model_validator(mode="after")
    def _low_is_not_above_high(self) -> Params:
        if self.low > self.high:
            raise ValueError(f"low ({self.low:g}) must not be above high ({self.high:g})")
        return self


class Track(Stage):
    """The stage. Detections that are not of a confirmed track are left out."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self._next = 1
        self.reset()

    def update(
        self, item: Frame | Window, prediction: Prediction
    ) -> tuple[Prediction, tuple[Event, ...]]:
        """Returns the detections of confirmed tracks, with ``tracks``; never an event."""
        if not isinstance(prediction, Detections):
            raise ModelError("track takes the boxes of a detector, not scores of a classifier")
        now = item.time if isinstance(item, Frame) else item.end
        if self._last is not None and now < self._last:
            self.reset()
        self._predict(now)
        params, scores = self._params, prediction.scores
        measured = _middle(prediction.boxes)
        high = np.flatnonzero(scores >= params.high)
        low = np.flatnonzero((scores >= params.low) & (scores < params.high))
        track_of = np.full(len(scores), -1, np.int64)
        sure = np.flatnonzero(self._ids > 0)
        sure, high = self._match(sure, high, prediction, track_of)
        _, low = self._match(sure, low, prediction, track_of)
        new, high = self._match(np.flatnonzero(self._ids == 0), high, prediction, track_of)
        self._match(new, low, prediction, track_of)
        seen = np.flatnonzero(track_of >= 0)
        self._correct(track_of[seen], measured[seen], now)
        self._forget(now, track_of)
        self._begin(high, measured, prediction, now, track_of)
        self._confirm()
        shown = track_of >= 0
        shown[shown] = self._ids[track_of[shown]] > 0
        return self._labelled(prediction, np.flatnonzero(shown), track_of, now), ()

    def reset(self) -> tuple[Event, ...]:
        """Forget all tracks; their numbers are not given again."""
        self._mean: Doubles = np.zeros((0, 4))  # x, y of the middle, width, height
        self._speed: Doubles = np.zeros((0, 4))
        self._cov: Doubles = np.zeros((0, 3))  # of position, of both, of velocity
        self._ids: NDArray[np.int64] = np.zeros(0, np.int64)  # 0 until confirmed
        self._hits: NDArray[np.int64] = np.zeros(0, np.int64)
        self._missed: NDArray[np.int64] = np.zeros(0, np.int64)
        self._classes: NDArray[np.int64] = np.zeros(0, np.int64)
        self._first: Doubles = np.zeros(0)
        self._seen: Doubles = np.zeros(0)
        self._last: float | None = None
        return ()

    def _predict(self, now: float) -> None:
        passed = 0.0 if self._last is None else now - self._last
        self._last = now
        speed = self._speed.copy()
        # Something that goes behind another seems to shrink, and would be nothing when it is back.
        speed[self._missed > 0, 2:] = 0
        self._mean = self._mean + passed * speed
        self._mean[:, 2:] = self._mean[:, 2:].clip(min=1.0)
        pp, pv, vv = self._cov.T
        noise = (self._mean[:, 3] * _STRAY) ** 2
        self._cov = np.stack(
            [
                pp + 2 * passed * pv + passed**2 * vv + noise * passed**3 / 3,
                pv + passed * vv + noise * passed**2 / 2,
                vv + noise * passed,
            ],
            axis=1,
        )

    def _match(
        self,
        tracks: NDArray[np.int64],
        found: NDArray[np.int64],
        prediction: Detections,
        track_of: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pair tracks with detections; returns those of both that stay alone."""
        if not len(tracks) or not len(found):
            return tracks, found
        overlap = iou(_corners(self._mean[tracks]), prediction.boxes[found])
        same = self._classes[tracks][:, None] == prediction.class_ids[found][None, :]
        overlap = np.where(same & (overlap >= self._params.match_iou), overlap, 0)
        rows, columns = assign(1 - overlap)
        good = overlap[rows, columns] > 0
        rows, columns = rows[good], columns[good]
        track_of[found[columns]] = tracks[rows]
        return np.delete(tracks, rows), np.delete(found, columns)

    def _correct(self, tracks: NDArray[np.int64], measured: Doubles, now: float) -> None:
        pp, pv, vv = self._cov[tracks].T
        noise = (self._mean[tracks, 3] * _POSITION) ** 2
        gain, follow = pp / (pp + noise), pv / (pp + noise)
        error = measured - self._mean[tracks]
        self._mean[tracks] += gain[:, None] * error
        self._speed[tracks] += follow[:, None] * error
        self._cov[tracks] = np.stack([(1 - gain) * pp, (1 - gain) * pv, vv - follow * pv], axis=1)
        self._hits[tracks] += 1
        self._seen[tracks] = now
        self._missed += 1
        self._missed[tracks] = 0

    def _forget(self, now: float, track_of: NDArray[np.int64]) -> None:
        """Drop what was unseen for too long, and what did not last to be confirmed."""
        stays = np.where(self._ids > 0, now - self._seen <= self._params.max_age, self._missed == 0)
        moved = np.cumsum(stays) - 1
        seen = track_of >= 0
        track_of[seen] = moved[track_of[seen]]
        for name in _ARRAYS:
            setattr(self, name, getattr(self, name)[stays])

    def _begin(
        self,
        found: NDArray[np.int64],
        measured: Doubles,
        prediction: Detections,
        now: float,
        track_of: NDArray[np.int64],
    ) -> None:
        found = found[: max(0, self._params.max_tracks - len(self._ids))]
        count, height = len(found), measured[found, 3]
        zeros = np.zeros(count, np.int64)
        cov = [(2 * _POSITION * height) ** 2, np.zeros(count), (_START * height) ** 2]
        track_of[found] = len(self._ids) + np.arange(count)
        news = (
            *(measured[found], np.zeros((count, 4)), np.stack(cov, axis=1), zeros, zeros + 1),
            *(zeros, prediction.class_ids[found], np.full(count, now), np.full(count, now)),
        )
        for name, new in zip(_ARRAYS, news, strict=True):
            setattr(self, name, np.concatenate([getattr(self, name), new]))

    def _confirm(self) -> None:
        ready = np.flatnonzero((self._ids == 0) & (self._hits >= self._params.min_hits))
        self._ids[ready] = self._next + np.arange(len(ready))
        self._next += len(ready)

    def _labelled(
        self, found: Detections, shown: NDArray[np.int64], track_of: NDArray[np.int64], now: float
    ) -> Detections:
        tracks = track_of[shown]
        ages = np.asarray(now - self._first[tracks], np.float32)
        speeds = np.asarray(self._speed[tracks, :2], np.float32)
        return replace(
            found,
            boxes=found.boxes[shown],
            scores=found.scores[shown],
            class_ids=found.class_ids[shown],
            keypoints=None if found.keypoints is None else found.keypoints[shown],
            tracks=Tracks(self._ids[tracks], ages, speeds),
        )


# In the order in which `Track._begin` makes them.
_ARRAYS = (
    *("_mean", "_speed", "_cov", "_ids", "_hits"),
    *("_missed", "_classes", "_first", "_seen"),
)


def _middle(boxes: Floats) -> Doubles:
    corners = boxes.astype(np.float64)
    sides = (corners[:, 2:] - corners[:, :2]).clip(min=1.0)
    return np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, sides], axis=1)


def _corners(middles: Doubles) -> Floats:
    half = middles[:, 2:] / 2
    return np.concatenate([middles[:, :2] - half, middles[:, :2] + half], 1).astype(np.float32)


def build(params: Mapping[str, Any], labels: tuple[str, ...]) -> Track:
    """Make the stage.

    Raises:
        ModelError: A parameter that it does not have, or out of range.
    """
    del labels
    return Track(parse(Params, params, "track"))

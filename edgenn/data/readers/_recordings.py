"""The second half of all sensor readers: from readings to recordings without a fault."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median_low

import numpy as np
from numpy.typing import NDArray

from edgenn.data import Raw, Recording, Side
from edgenn.data.readers._site import Site, choose_labels, settle_sides
from edgenn.errors import DataError
from edgenn.ops.resample import GAP, MOST_MADE_UP, longest_pause, resample, runs_at
from edgenn.types import Floats

# Clocks of cheap sensors are off by some percent; more is another rate.
_RATE_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Readings as a reader found them.

    Attributes:
        name: File, or file and number.
        values: (T, C) float64, not finite where a reading is bad.
        labels: (T,) class names, "" where unlabelled.
        times: (T,) float64 seconds, or None.
        group: Person or session.
        side: "train", "val", "test" or nothing.
        rate: Readings per second by the timestamps or the file; 0 where not known.
        fault: Describes the first bad value, where the reader can say it well.
        whole: A window, which must not be cut.
    """

    name: str
    values: NDArray[np.float64]
    labels: NDArray[np.str_]
    times: NDArray[np.float64] | None
    group: str
    side: str
    rate: float = 0.0
    fault: str = ""
    whole: bool = False


def finish(
    site: Site, stretches: Sequence[Stretch], found: Iterable[str], channels: Sequence[str]
) -> Raw:
    """Cut readings at gaps and faults, and bring all to the form that training uses.

    Where the recipe has a rate and the timestamps do not run at it, readings are
    resampled as on a device; each then has the label of the nearest earlier
    reading. Readings without a label get the recipe's background class, if any.

    Args:
        site: Where the data lies; the rate of its recipe rules, else that of the data.
        stretches: What was read.
        found: All classes of the data, in its order.
        channels: Names of the channels.

    Raises:
        DataError: No classes or not the wanted ones; nothing tells the rate.
    """
    background = site.spec.background
    if background:
        stretches = [_with_background(stretch, background) for stretch in stretches]
        found = [*found, background]
    labels = choose_labels(found, site.spec)
    known = [stretch.rate for stretch in stretches if stretch.rate]
    if not (site.spec.rate or known):
        raise DataError(
            "nothing tells the readings per second: set data.time or data.rate in a recipe"
        )
    rate = site.spec.rate or round(median_low(known), 3)
    maker = _Maker(site, labels, rate)
    sided = settle_sides([(stretch.side, stretch) for stretch in stretches])
    recordings = [piece for side, stretch in sided for piece in maker.make(stretch, side)]
    return Raw(
        labels,
        recordings=tuple(recordings),
        channels=tuple(channels),
        problems=tuple(site.problems),
    )


def _with_background(stretch: Stretch, name: str) -> Stretch:
    labels = stretch.labels.astype(object)
    labels[labels == ""] = name
    return replace(stretch, labels=labels.astype(np.str_))


def rate_of(times: NDArray[np.float64]) -> float:
    """Readings per second by their timestamps, or 0 where these do not tell."""
    steps = np.diff(times)
    steps = steps[np.isfinite(steps) & (steps > 0)]
    return 1.0 / float(np.median(steps)) if len(steps) else 0.0


class _Maker:
    """Makes recordings of stretches, and remembers which were there."""

    def __init__(self, site: Site, labels: tuple[str, ...], rate: float) -> None:
        self._site, self._rate = site, rate
        self._ids = {name: i for i, name in enumerate(labels)}
        self._seen: dict[bytes, Stretch] = {}

    def make(self, stretch: Stretch, side: Side) -> list[Recording]:
        """The pieces of a stretch that can be used; none, and a problem, where it is bad."""
        try:
            return list(self._recordings(stretch, side))
        except DataError as error:
            self._site.report(stretch.name, str(error))
            return []

    def _recordings(self, stretch: Stretch, side: Side) -> Iterator[Recording]:
        resampled, pause = self._timing(stretch)
        if not (stretch.labels != "").any():
            raise DataError("empty label: no reading has one")
        if not self._is_new(stretch):
            return
        pieces = list(_pieces(self._site, stretch, pause))
        for number, kept in enumerate(pieces):
            class_ids = np.array(
                [self._ids.get(str(x), -1) for x in stretch.labels[kept]], np.int64
            )
            if (class_ids >= 0).any():
                name = stretch.name if len(pieces) == 1 else f"{stretch.name}[{number}]"
                values = stretch.values[kept].astype(np.float32)
                if resampled and stretch.times is not None:
                    values, class_ids = self._at_rate(values, stretch.times[kept], class_ids)
                yield Recording(name, values, class_ids, self._rate, stretch.group, side)

    def _timing(self, stretch: Stretch) -> tuple[bool, float]:
        """Whether to resample, and the longest pause in seconds that is no gap."""
        usual = GAP / self._rate
        said = f"it has {stretch.rate:.4g} readings a second, not {self._rate:.4g}"
        if stretch.times is not None and self._site.spec.rate:
            times = stretch.times[np.isfinite(stretch.times)]
            if runs_at(times, self._rate):
                return False, usual
            if stretch.rate * MOST_MADE_UP < self._rate:
                raise DataError(f"{said}; are its times in seconds?")
            return True, longest_pause(times, self._rate)
        if stretch.rate and abs(stretch.rate / self._rate - 1) > _RATE_TOLERANCE:
            raise DataError(f"{said}; set data.rate, to which readings with times are resampled")
        return False, usual

    def _at_rate(
        self, values: Floats, times: NDArray[np.float64], class_ids: NDArray[np.int64]
    ) -> tuple[Floats, NDArray[np.int64]]:
        values, at = resample(values, times, self._rate)
        # A thousandth of an interval: rounding must not make a reading later than itself.
        earlier = np.searchsorted(times, at + 1e-3 / self._rate, "right") - 1
        return values, class_ids[earlier]

    def _is_new(self, stretch: Stretch) -> bool:
        digest = hashlib.sha256(stretch.values.tobytes()).digest()
        first = self._seen.setdefault(digest, stretch)
        if first is stretch:
            return True
        if not np.array_equal(first.labels, stretch.labels):
            raise DataError(f"duplicate of {first.name} with other labels")
        self._site.report(stretch.name, f"duplicate of {first.name}; left out", mended=True)
        return False


def _pieces(site: Site, stretch: Stretch, pause: float) -> Iterator[NDArray[np.int64]]:
    """Indices of the readings of every piece without a fault."""
    # Not true of NaN either.
    good = np.asarray((np.abs(stretch.values) <= np.finfo(np.float32).max).all(axis=1))
    if stretch.times is not None:
        good &= np.isfinite(stretch.times)
    bad = int((~good).sum())
    if bad:
        said = stretch.fault or f"the first is reading {int(good.argmin()) + 1}"
        said = f"{bad} of {len(good)} readings are NaN or not numbers: {said}"
        if stretch.whole or bad > site.spec.max_bad * len(good):
            raise DataError(said)
        site.report(stretch.name, f"{said}; it was cut there", mended=True)
    unlabelled = int((stretch.labels == "").sum())
    if unlabelled:
        said = f"empty label: {unlabelled} of {len(good)} readings have none and teach nothing"
        site.report(stretch.name, said, mended=True)
    kept = np.flatnonzero(good)
    cuts: NDArray[np.bool_] = np.diff(kept) > 1
    if stretch.times is not None:
        steps = np.diff(stretch.times[kept])
        gaps: NDArray[np.bool_] = ~cuts & ((steps > pause) | (steps < 0))
        if gaps.any():
            said = _describe_gap(stretch.times[kept], steps, gaps)
            site.report(stretch.name, f"{said}; it was cut there", mended=True)
        cuts |= gaps
    yield from np.split(kept, np.flatnonzero(cuts) + 1)


def _describe_gap(
    times: NDArray[np.float64], steps: NDArray[np.float64], gaps: NDArray[np.bool_]
) -> str:
    first = int(gaps.argmax())
    step = steps[first]
    what = f"gap of {step:.3g} s in time" if step > 0 else f"time goes back by {-step:.3g} s"
    more = f", the first of {int(gaps.sum())}" if gaps.sum() > 1 else ""
    return f"{what} after {times[first]:.3f} s{more}"

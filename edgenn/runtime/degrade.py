"""Does less when a live run is too slow or the device too hot, and more again afterwards.

Step by step: half of the rate that was reached, a quarter of it, then the smaller model at its
full rate, half and a quarter. Fewer frames help because none then waits for the one before, and
because the device cools. A step back up is taken after a quiet time, which doubles each time
that the step turned out to be one too many.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

from edgenn.runtime.heat import Heat, Thermometer

_log = logging.getLogger(__name__)
# Shares of the rate that was reached; first with the model itself, then with the smaller one.
SHARES = (1.0, 0.5, 0.25)
_LOOK_S = 3.0  # what is judged
_FEWEST = 5
# More than one in ten over the budget is too slow; all well below it is quiet.
_LATE, _QUIET = 0.1, 0.8
_QUIET_S, _LONGEST_S = 10.0, 320.0
_HEAT_EVERY_S = 2.0
_HOT_S = 20.0  # a device needs so long to feel that it does less


@dataclass(frozen=True, slots=True)
class Level:
    """What may be done.

    Attributes:
        number: 0 is all; each one more is a step down.
        max_fps: Frames a second at most; None leaves it open.
        smaller: Whether the smaller model is to be used.
        reason: Why it is not 0.
    """

    number: int = 0
    max_fps: float | None = None
    smaller: bool = False
    reason: str = ""


class Governor:
    """Watches the latency and the heat of one run; used by one thread.

    Args:
        budget_ms: Milliseconds from capture to result that are allowed; None watches heat alone.
        has_smaller: Whether there is a smaller model.
        thermometer: Says how warm it is.

    Attributes:
        level: What holds now.
        heat: The last look at the thermometer.
    """

    def __init__(
        self, budget_ms: float | None, *, has_smaller: bool, thermometer: Thermometer
    ) -> None:
        self.level = Level()
        self.heat = Heat(None)
        self._budget = float("inf") if budget_ms is None else budget_ms
        self._most = len(SHARES) * (2 if has_smaller else 1) - 1
        self._thermometer = thermometer
        self._recent: deque[tuple[float, float]] = deque()
        self._rates = [0.0, 0.0]  # reached without a limit, by either model
        self._changed_at = self._quiet_since = self._looked_at = -float("inf")
        self._quiet_s = _QUIET_S
        self._rose = False

    def update(self, now: float, latency_ms: float) -> bool:
        """Take one result into account; True where `level` changed.

        Args:
            now: Seconds, monotonic.
            latency_ms: From capture to this result.
        """
        self._recent.append((now, latency_ms))
        while self._recent[0][0] < now - _LOOK_S and len(self._recent) > _FEWEST:
            self._recent.popleft()
        if now - self._looked_at >= _HEAT_EVERY_S:
            self._looked_at, self.heat = now, self._thermometer.read()
        span = now - self._recent[0][0]
        if len(self._recent) < _FEWEST or span < _LOOK_S / 2:
            return False
        reason = self._trouble(now)
        if reason:
            self._quiet_since = now
            return self._step(1, now, reason, len(self._recent) / span)
        if self.heat.reason or any(ms > _QUIET * self._budget for _, ms in self._recent):
            self._quiet_since = now
        since = max(self._quiet_since, self._changed_at)
        if self.level.number and now - since >= self._quiet_s:
            return self._step(-1, now, self.level.reason, 0.0)
        return False

    def _trouble(self, now: float) -> str:
        late = sum(ms > self._budget for _, ms in self._recent)
        if late > _LATE * len(self._recent):
            return (
                f"{late} of {len(self._recent)} results took longer than the "
                f"{self._budget:.0f} ms of the budget"
            )
        return self.heat.reason if now - self._changed_at >= _HOT_S else ""

    def _step(self, step: int, now: float, reason: str, rate: float) -> bool:
        number = self.level.number + step
        if number > self._most:
            return False
        place, smaller = number % len(SHARES), number >= len(SHARES)
        if step > 0:
            if self._rose and now - self._changed_at < 2 * self._quiet_s:
                self._quiet_s = min(2 * self._quiet_s, _LONGEST_S)
            elif now - self._changed_at > 2 * self._quiet_s:
                self._quiet_s = _QUIET_S
            if place == 1:
                self._rates[smaller] = rate
        fps = SHARES[place] * self._rates[smaller] if place else None
        self.level = Level(number, fps, smaller, reason if number else "")
        self._rose = step < 0
        self._changed_at = now
        self._recent.clear()
        what = ("the smaller model" if smaller else "the model") + (
            f" at {fps:.1f} frames a second" if fps else " at full rate"
        )
        if step > 0:
            _log.warning("%s: going on with %s", reason, what)
        else:
            _log.warning("%.0f s without trouble: back to %s", self._quiet_s, what)
        return True

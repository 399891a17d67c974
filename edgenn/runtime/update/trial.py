"""Whether a new bundle does what it should: its golden samples, and a while of real work."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from edgenn.bundle.manifest import Variant
from edgenn.errors import ParityError
from edgenn.runtime.health import Health

_TICK_S = 0.05
_PROOF_S = 900.0
_NICE = 10


@dataclass(frozen=True, slots=True)
class Rules:
    """When a new bundle is good enough to stay.

    Attributes:
        trial_s: Seconds that it is watched.
        silence_s: Seconds without any result after which it fails.
        slower: It fails where 95 % of results take so many times as long as before.
        least_ms: Latencies up to this are never too long.
        results: Results that are needed to judge latency.
    """

    trial_s: float = 60.0
    silence_s: float = 10.0
    slower: float = 3.0
    least_ms: float = 50.0
    results: int = 20


def patience(health: Health, rules: Rules) -> float:
    """Seconds without a result that mean something: more where results were always rare."""
    fps = health.summary().fps
    return max(rules.silence_s, 3 / fps if fps else 0.0)


class Watch:
    """Watches a run from the moment at which a bundle is put on trial.

    Args:
        health: Counters of the run.
        rules: When it is good enough.

    Attributes:
        fault: What the model raised, if anything.
        silent: Whether it failed as there were no results, which may be the source's doing.
    """

    def __init__(self, health: Health, rules: Rules) -> None:
        self.fault: Exception | None = None
        self.silent = False
        self._health, self._rules = health, rules
        self._before = health.latency("total")
        self._frames = health.frames
        self._patience = patience(health, rules)
        self._begun = self._heard = monotonic()

    def on_fault(self, error: Exception) -> None:
        """The model raised this; from any thread."""
        self.fault = error

    def wait(self, stopped: threading.Event) -> str | None:
        """Until it is decided.

        Returns:
            Why it failed; empty where it is good; None where the run was ended before.
        """
        while not stopped.wait(_TICK_S):
            if why := self._fails():
                return why
            if self._heard > self._begun and monotonic() - self._begun >= self._rules.trial_s:
                return ""
        return None

    def _fails(self) -> str:
        now = monotonic()
        if self.fault is not None:
            return f"it fails: {self.fault}"
        if self._health.frames != self._frames:
            self._frames, self._heard = self._health.frames, now
        elif now - self._heard > self._patience:
            self.silent = True
            return f"it gave no result in {self._patience:.3g} s"
        if now - self._begun < self._rules.trial_s / 4:
            return ""  # the first results of any model are slow
        since = self._health.latency("total").since(self._before)
        if min(len(since), len(self._before)) < self._rules.results:
            return ""
        took, took_before = since.percentile(95), self._before.percentile(95)
        if took > max(self._rules.least_ms, self._rules.slower * took_before):
            return f"95 % of its results take up to {took:.0f} ms, and {took_before:.0f} ms before"
        return ""


def prove(path: Path, variant: Variant, stopped: threading.Event) -> None:
    """Replay the golden samples of a bundle in a process of its own, at a low priority.

    An engine that crashes on a model takes that process with it, and not the run.

    Args:
        path: The bundle.
        variant: The file that would run.
        stopped: Ends it.

    Raises:
        ParityError: It does not compute what it should, or brings the engine down.
    """
    command = [sys.executable, "-m", "edgenn", "verify", str(path)]
    command += ["--engine", variant.engine, "--precision", variant.precision, "--threads", "1"]
    # The command is this program's own.
    child = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        os.setpriority(os.PRIO_PROCESS, child.pid, _NICE)
        code, said = _wait(child, stopped)
    finally:
        child.kill()
        child.wait()
        assert child.stderr is not None
        child.stderr.close()
    if code < 0:
        raise ParityError(f"its golden samples end the process with signal {-code}")
    if code:
        raise ParityError(said.removeprefix("edgenn: ") or f"edgenn verify ends with {code}")


def _wait(child: subprocess.Popen[bytes], stopped: threading.Event) -> tuple[int, str]:
    """Exit code and last line of what it said."""
    until = monotonic() + _PROOF_S
    while monotonic() < until and not stopped.is_set():
        try:
            _, said = child.communicate(timeout=0.2)
        except subprocess.TimeoutExpired:
            continue
        lines = said.decode(errors="replace").strip().splitlines()
        return child.returncode, lines[-1] if lines else ""
    if stopped.is_set():
        raise InterruptedError
    raise ParityError(f"its golden samples take longer than {_PROOF_S:g} s")

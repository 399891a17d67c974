"""Does on the target what it is asked to; when the other side goes away, puts things back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgenn.deploy.remote import judge
from edgenn.deploy.remote.probe import probe
from edgenn.deploy.remote.release import Releases, Serials
from edgenn.deploy.remote.service import Service
from edgenn.deploy.remote.talk import GoneError, Line, RefusedError

_BACK_S = 90.0


class Agent:
    """One deployment on this machine. Its methods without a dash before them are the requests."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._releases: Releases
        self._service: Service
        self._passed: list[str] = []
        self._chosen: dict[str, str] = {}
        self._times: dict[str, float] = {}

    def probe(self, name: str, scope: str) -> dict[str, Any]:
        """Facts, see `probe.probe`."""
        return probe(self._line, name=name, scope=scope)

    def lock(self, name: str, scope: str, base: str, who: str) -> None:
        """Keep others out; see `Releases.lock`."""
        self._releases = Releases(self._line, Path(base))
        self._service = Service(self._line, name, scope, Path(base))
        self._releases.lock(who)

    def has_venv(self, base: str, key: str) -> bool:
        """Whether that environment is there and whole."""
        return (Path(base) / "venvs" / key / "whole").exists()

    def venv(self, **wishes: Any) -> None:  # noqa: ANN401  see there
        """See `Releases.venv`."""
        self._releases.venv(**wishes)

    def stage(self, **wishes: Any) -> str:  # noqa: ANN401  see there
        """See `Releases.stage`."""
        return self._releases.stage(**wishes)

    def doctor(self) -> str:
        """See `judge.doctor`."""
        return judge.doctor(self._line, self._new)

    def verify(self) -> list[str]:
        """See `judge.verify`; sentences about those that do not pass."""
        self._passed, failed = judge.verify(self._line, self._new)
        return failed

    def measure(self, variants: Sequence[dict[str, str]]) -> dict[str, Any]:
        """The fastest of the given variants that passed, and the time of each."""
        wanted = [v for v in variants if v["file"] in self._passed]
        if not wanted:
            raise RefusedError("no variant of the wanted engine and precision verifies there")
        self._times = judge.measure(self._line, self._new, wanted)
        self._chosen = min(wanted, key=lambda v: self._times[v["file"]])
        return {**self._chosen, "ms": self._times[self._chosen["file"]], "times": self._times}

    def activate(
        self, arguments: Sequence[str], fingerprint: str, unit: str, timeout: float, settle: float
    ) -> str:
        """Switch to the new release; with a unit, start it and wait until it is healthy.

        Raises:
            GoneError: The other side went away; what was before is there again.
            RefusedError: The same, since it did not become healthy.
        """
        own = ["--engine", self._chosen["engine"], "--precision", self._chosen["precision"]]
        notes = {"fingerprint": fingerprint, "variant": self._chosen, "times": self._times}
        self._releases.seal([*arguments, *own], notes)  # the last of a flag counts
        before, unit_before = self._releases.current(), self._service.text()
        ran = self._service.state().get("ActiveState") in ("active", "activating")
        serials = Serials()
        try:
            self._line.pause(0)
            self._releases.point(self._new)
            if not unit:
                return ""
            self._service.install(self._service.render(unit))
            self._service.restart()
            return self._service.wait(timeout, settle)
        except (GoneError, RefusedError, OSError) as error:
            if unit:
                self._service.stop()  # before what it noted is taken back
                serials.put_back()
            said = self._back(before, unit_before, service=bool(unit), ran=ran)
            if isinstance(error, GoneError):
                raise GoneError(said) from None
            raise RefusedError(f"{error}; {said}") from error

    def prune(self) -> list[str]:
        """See `Releases.prune`."""
        return self._releases.prune()

    def clean(self) -> None:
        """Remove what is half done."""
        if hasattr(self, "_releases"):
            self._releases.drop_new()

    @property
    def _new(self) -> Path:
        assert self._releases.new is not None
        return self._releases.new

    def _back(self, before: Path | None, unit: str | None, *, service: bool, ran: bool) -> str:
        """Let run again what ran before; says how that went."""
        self._releases.point(before)
        if not service:
            return "the release of before counts"
        if unit is None or before is None:
            self._service.remove()
            return "nothing ran before, so nothing runs now"
        try:
            self._service.install(unit, heed=False)
            if not ran:
                self._service.stop()
                return f"{before.name} counts again, and is stopped as before"
            self._service.restart(heed=False)
            self._service.wait(_BACK_S, 1.0, heed=False)
        except (RefusedError, OSError) as error:
            return f"the release of before was put back, but {error}"
        return f"{before.name} runs again"


def main() -> None:
    """Answer requests until the other side is gone."""
    # What is under way is ended in order, also when a login manager ends the session. To be
    # ignored they would also be by the programs started from here.
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, lambda *_: None)
    os.umask(0o022)
    os.chdir("/")  # a csv.py in the home would be what pip imports
    line = Line()
    agent = Agent(line)
    line.say(hello=1)
    while (request := line.next()) is not None:
        action: Callable[..., object] = getattr(agent, request["do"])
        try:
            line.say(ok=action(**request["with"]))
        except GoneError as error:
            line.say(error=f"interrupted; {str(error) or 'what ran before runs on'}")
            break
        except (RefusedError, OSError) as error:
            agent.clean()
            line.say(error=_sentence(error))
    agent.clean()


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)

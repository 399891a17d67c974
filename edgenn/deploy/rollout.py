"""Carries a plan out, on several devices at once."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Literal

from edgenn.deploy import plan
from edgenn.deploy.plan import Wish
from edgenn.deploy.ssh import Connection
from edgenn.errors import DeployError

# A device that is asked to stop puts the service of before back first.
_BACK_S = 120.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one device.

    Attributes:
        host: Its name.
        result: "deployed", "unchanged", "planned" or "failed".
        release: That which counts there now; empty where that is not known.
        variant: File that was the fastest.
        milliseconds: Of one inference of it.
        note: What the service says of itself, or what went wrong, in a sentence.
    """

    host: str
    result: Literal["deployed", "unchanged", "planned", "failed"]
    release: str = ""
    variant: str = ""
    milliseconds: float = 0.0
    note: str = ""


class Rollout:
    """One deployment to several devices.

    Args:
        wish: What is wanted.
        config: Configuration of ssh; None takes the user's.
        python: Interpreter on the devices; None looks for one.
        say: Gets a host and a line about what is going on there.
    """

    def __init__(
        self,
        wish: Wish,
        config: Path | None,
        python: str | None,
        say: Callable[[str, str], None],
    ) -> None:
        self._wish, self._config, self._python, self._say = wish, config, python, say
        self._stopped = Event()
        self._all: list[Connection] = []

    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Have every device put things back; may be called in a signal handler."""
        self._stopped.set()
        for connection in self._all:
            connection.hang_up()

    def run(self, hosts: Sequence[str], jobs: int, *, dry: bool) -> list[Outcome]:
        """Deploy to all hosts.

        Args:
            hosts: As ssh takes them.
            jobs: How many at a time.
            dry: Only say what would be done.

        Returns:
            One outcome per host, in their order; a device that failed does not stop others.

        Raises:
            DeployError: This machine has no ssh.
            UsageError: A host is no name.
        """
        # A socket's path is short, which that of the folder for temporary files need not be.
        place = os.environ.get("XDG_RUNTIME_DIR") or "/tmp"  # noqa: S108  made anew
        folder = Path(tempfile.mkdtemp(prefix="edgenn-", dir=place))
        try:
            self._all = [Connection(host, folder, self._config, self._python) for host in hosts]
            with ThreadPoolExecutor(jobs) as pool:
                try:
                    return list(pool.map(lambda one: self._guarded(one, dry=dry), self._all))
                except KeyboardInterrupt:  # a second time; the devices go back by themselves
                    for connection in self._all:
                        connection.abandon()
                    raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _guarded(self, connection: Connection, *, dry: bool) -> Outcome:
        host = connection.host
        try:
            if self.stopped():
                return Outcome(host, "failed", note="interrupted; what ran before runs on")
            connection.open()
            if self.stopped():  # meanwhile
                connection.hang_up()
            return self._one(connection, dry=dry)
        except DeployError as error:
            return Outcome(host, "failed", note=str(error).removeprefix(f"{host}: "))
        finally:
            connection.close(_BACK_S)

    def _one(self, connection: Connection, *, dry: bool) -> Outcome:
        wish, host = self._wish, connection.host
        facts = connection.ask("probe", name=wish.name, scope=wish.scope)
        key = plan.venv_key(facts, wish)
        has_venv = connection.ask("has_venv", base=facts["base"], key=key)
        plan.check(host, facts, wish, has_venv=has_venv)
        if plan.done(facts, wish):
            return Outcome(host, "unchanged", facts["release"], note="nothing to do")
        answers: dict[str, Any] = {}
        for step in plan.steps(facts, wish, has_venv=has_venv):
            self._say(host, step.text)
            if not dry:
                answers[step.action] = self._do(connection, step, rsync=facts["rsync"])
        if dry:
            return Outcome(host, "planned", facts["release"], note="nothing was touched")
        chosen = answers["measure"]
        note = answers["activate"]
        return Outcome(host, "deployed", answers["stage"], chosen["file"], chosen["ms"], note)

    def _do(self, connection: Connection, step: plan.Step, *, rsync: bool) -> Any:  # noqa: ANN401
        if step.action == plan.UPLOAD:
            connection.upload(step.files, step.values["folder"], rsync=rsync)
            return None
        answer = connection.ask(step.action, **step.values)
        if step.action == "doctor" and answer:
            self._say(connection.host, f"edgenn doctor: {answer}")
        if step.action == "verify":
            for sentence in answer:
                self._say(connection.host, f"left out: {sentence}")
        return answer

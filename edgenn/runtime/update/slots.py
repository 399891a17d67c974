"""Two bundles on disk, of which one is good whatever happens.

A folder holds ``a.edgenn`` and ``b.edgenn``, and ``state.json``, which says which of them is
confirmed and which on trial. The file of the confirmed slot is never touched: a new bundle goes
into the other one, and the state changes by one rename that the disk has kept before anything
depends on it. What is on the disk is checked against its hash before it is used.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from edgenn.bundle.manifest import Strict
from edgenn.errors import SinkError, UsageError
from edgenn.runtime.update.download import file_sha256

_log = logging.getLogger(__name__)
MAX_STARTS = 3
_MAX_REFUSED = 256


class Slot(Strict):
    """A bundle in a slot: which slot, and name, serial and hash of the file."""

    slot: Literal["a", "b"]
    name: str
    serial: int
    sha256: str


class Trial(Slot):
    """One that is not confirmed yet; ``starts`` counts how often it was begun with."""

    starts: int = Field(default=0, ge=0)


class State(Strict):
    """What is in ``state.json``.

    Attributes:
        confirmed: What runs.
        previous: What ran before, as long as it is there.
        trial: What may run next.
        refused: Serials that failed here.
    """

    version: Literal[1] = 1
    confirmed: Slot | None = None
    previous: Slot | None = None
    trial: Trial | None = None
    refused: tuple[int, ...] = ()


class Slots:
    """The folder; used by one process at a time.

    Args:
        folder: Is made.

    Attributes:
        state: What is on the disk.

    Raises:
        UsageError: The folder cannot be written, or another process uses it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = -1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise UsageError(
                f"another edgenn uses {folder}; give this one a folder of its own with --slots"
            ) from error
        except OSError as error:
            self.close()
            raise UsageError(f"cannot use {folder} for --slots: {error.strerror}") from error
        self.state = self._load()

    def close(self) -> None:
        """Let another process use the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def serial(self) -> int:
        """Of what is confirmed; 0 for nothing."""
        return self.state.confirmed.serial if self.state.confirmed else 0

    def path(self, slot: Slot) -> Path:
        """Where the bundle of a slot lies."""
        return self.folder / f"{slot.slot}.edgenn"

    def is_whole(self, slot: Slot) -> bool:
        """Whether the file is what was put there."""
        return file_sha256(self.path(slot)) == slot.sha256

    def good(self) -> Slot | None:
        """The confirmed bundle or, where the disk has lost it, the one before; None for none."""
        state = self.state
        if state.confirmed is not None and self.is_whole(state.confirmed):
            return state.confirmed
        if state.confirmed is not None:
            _log.warning("%s is damaged; the bundle before it is used", self.path(state.confirmed))
        if state.previous is not None and self.is_whole(state.previous):
            self._save(confirmed=state.previous, previous=None)
            return state.previous
        return None

    def forget(self, slot: Slot) -> None:
        """A bundle must not run any more: what ran before takes its place."""
        if self.state.confirmed == slot:
            self._save(confirmed=self.state.previous, previous=None)

    def part(self, sha256: str) -> Path:
        """Where a download goes; those of others are removed."""
        keep = f"{sha256}.part"
        for old in self.folder.glob("*.part*"):
            if not old.name.startswith(keep):
                old.unlink(missing_ok=True)
        return self.folder / keep

    def place(self, part: Path, name: str, serial: int, sha256: str) -> Trial:
        """Put a checked download into the slot that is free, to be tried.

        Raises:
            SinkError: The disk does not take it.
        """
        used = self.state.confirmed
        trial = Trial(
            slot="b" if used is not None and used.slot == "a" else "a",
            name=name,
            serial=serial,
            sha256=sha256,
        )
        # First nothing may depend on what is written over.
        self._save(previous=None, trial=None)
        try:
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(self.path(trial))
            _sync_folder(self.folder)
        except OSError as error:
            raise SinkError(f"cannot write {self.path(trial)}: {error.strerror}") from error
        self._save(trial=trial)
        return trial

    def begin(self) -> Trial | None:
        """Count a start of the trial, before it; None where there is none that may begin.

        One that was begun `MAX_STARTS` times, and never ended, brings the process down: it is
        refused.
        """
        trial = self.state.trial
        if trial is None:
            return None
        if trial.starts >= MAX_STARTS or not self.is_whole(trial):
            _log.warning(
                "%s serial %d ended the program %d times on its trial; it is not tried again",
                *(trial.name, trial.serial, trial.starts),
            )
            self.refuse(trial.serial)
            return None
        trial = trial.model_copy(update={"starts": trial.starts + 1})
        self._save(trial=trial)
        return trial

    def postpone(self) -> None:
        """The trial was ended by something else: that start does not count."""
        trial = self.state.trial
        if trial is not None:
            self._save(trial=trial.model_copy(update={"starts": max(0, trial.starts - 1)}))

    def confirm(self) -> None:
        """What is on trial is good."""
        trial = self.state.trial
        assert trial is not None
        good = Slot(**trial.model_dump(exclude={"starts"}))
        self._save(confirmed=good, previous=self.state.confirmed, trial=None)

    def refuse(self, serial: int) -> None:
        """A serial failed: it is not tried again here."""
        others = [s for s in self.state.refused if s != serial]
        trial = self.state.trial
        self._save(
            refused=(*others, serial)[-_MAX_REFUSED:],
            trial=None if trial is not None and trial.serial == serial else trial,
        )

    def _load(self) -> State:
        file = self.folder / "state.json"
        try:
            return State.model_validate(json.loads(file.read_text("utf-8")))
        except FileNotFoundError:
            return State()
        except (OSError, ValueError, ValidationError) as error:
            first = str(error).splitlines()[0]
            _log.warning("%s is damaged (%s); the slots are begun anew", file, first)
            return State()

    def _save(self, **changes: object) -> None:
        state = self.state.model_copy(update=changes)
        temporary = self.folder / "state.json.new"
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(state.model_dump_json(indent=1))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.folder / "state.json")
            _sync_folder(self.folder)
        except OSError as error:
            raise SinkError(f"cannot write {temporary}: {error.strerror}") from error
        self.state = state


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

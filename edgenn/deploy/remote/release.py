"""Releases on the target: a folder each, and ``current``, which points to the one that counts.

The layout::

    BASE/current -> releases/STAMP-HASH
    BASE/releases/STAMP-HASH/{venv, model.edgenn, run.args, start, release.json}
    BASE/venvs/KEY       shared by releases of one wheel, so that a new model is quick
    BASE/data            where the service runs; outputs with relative paths land here
    BASE/incoming        what is being copied
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgenn.deploy.remote.talk import Line, RefusedError, last_line

KEPT = 2
_PIP = [22, 3]  # the first with --python
_FOLDERS = ("releases", "venvs", "data", "incoming", "tmp")


class Releases:
    """The releases of one deployment.

    Args:
        line: Runs the commands.
        base: Folder of the deployment.

    Attributes:
        base: The same.
        new: The release that is being made; None before and after.
    """

    def __init__(self, line: Line, base: Path) -> None:
        self.base, self._line = base, line
        self.new: Path | None = None
        self._half: Path | None = None  # an environment that is not whole yet
        self._lock: int | None = None

    def lock(self, who: str) -> None:
        """Keep others out until this process ends, and make the folders.

        Raises:
            RefusedError: Another deployment is under way, or the folder cannot be written.
        """
        try:
            self._make_base()
            self._lock = os.open(self.base / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.read(self._lock, 200).decode(errors="replace").strip()
                raise RefusedError(
                    f"another deployment to {self.base} is under way ({owner}); "
                    "wait until it has ended"
                ) from None
            os.ftruncate(self._lock, 0)
            os.write(self._lock, f"{who}, since {time.strftime('%H:%M:%S')}\n".encode())
            for name in _FOLDERS:
                (self.base / name).mkdir(exist_ok=True)
        except OSError as error:
            raise RefusedError(f"cannot write to {self.base}: {error.strerror}") from error

    def _make_base(self) -> None:
        if self.base.is_dir() or not self.base.is_relative_to("/opt") or os.geteuid() == 0:
            # Others of the machine need not read the password of a broker.
            self.base.parent.mkdir(parents=True, exist_ok=True)
            self.base.mkdir(mode=0o700, exist_ok=True)
            return
        owner = str(os.geteuid())
        command = ["sudo", "-n", "install", "-d", "-m", "700", "-o", owner, str(self.base)]
        answer = self._line.run(command)
        if answer.returncode:
            raise RefusedError(f"cannot make {self.base}: {last_line(answer.stderr)}")

    def venv(
        self,
        key: str,
        wheel: str,
        *,
        wheelhouse: bool,
        extras: Sequence[str],
        python: str,
        system_site: bool,
    ) -> None:
        """Make the environment ``KEY``; one that is whole is left as it is.

        Raises:
            GoneError: The other side went away.
            RefusedError: venv or pip failed; the message has pip's last line.
        """
        folder = self.base / "venvs" / key
        if (folder / "whole").exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        self._half = folder
        site = ["--system-site-packages"] if system_site else []
        pip: list[str | Path] = [python, "-I", "-m", "pip", "--python", folder / "bin/python"]
        if self._has_pip(python):
            site.append("--without-pip")
        else:
            pip = [folder / "bin/python", "-m", "pip"]
        self._must([python, "-m", "venv", *site, folder], "venv")
        pip += ["--disable-pip-version-check", "--no-input", "install", "--quiet"]
        if wheelhouse:
            pip += ["--no-index", "--find-links", self.base / "incoming"]
        file = self.base / "incoming" / wheel
        if system_site:  # pip would take an edgenn of the same version there for this one
            self._must([*pip, "--no-deps", "--ignore-installed", file], "pip")
        self._must([*pip, f"{file}[{','.join(extras)}]" if extras else file], "pip")
        (folder / "whole").touch()
        self._half = None

    def _has_pip(self, python: str) -> bool:
        """Whether the system's pip can fill an environment; to unpack another takes a while."""
        said = self._line.run([python, "-I", "-m", "pip", "--version"]).stdout.split()
        digits = said[1].split(".")[:2] if len(said) > 1 else []
        return all(text.isdecimal() for text in digits) and [*map(int, digits)] >= _PIP

    def stage(self, *, venv: str, bundle: str, sha256: str, fingerprint: str) -> str:
        """Make a new release of what was copied. Nothing points to it yet.

        Raises:
            RefusedError: The bundle did not arrive as it was sent.
        """
        arrived = self.base / "incoming" / bundle
        if not arrived.is_file() or _sha256(arrived) != sha256:
            raise RefusedError("the bundle did not arrive as it was sent; deploy again")
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.new = self.base / "releases" / f"{stamp}-{fingerprint[:8]}"
        self.new.mkdir()
        (self.new / "venv").symlink_to(Path("../../venvs") / venv)
        arrived.replace(self.new / "model.edgenn")
        return self.new.name

    def seal(self, arguments: Sequence[str], notes: dict[str, Any]) -> None:
        """Write how the new release is started, and what it is."""
        assert self.new is not None
        (self.new / "run.args").write_text(shlex.join(arguments) + "\n", encoding="utf-8")
        program, model = (
            shlex.quote(str(self.new / n)) for n in ("venv/bin/edgenn", "model.edgenn")
        )
        start = self.new / "start"
        start.write_text(
            f'#!/bin/sh\nexec {program} run {model} {shlex.join(arguments)} "$@"\n',
            encoding="utf-8",
        )
        start.chmod(0o700)
        (self.new / "release.json").write_text(json.dumps(notes, indent=1), encoding="utf-8")

    def current(self) -> Path | None:
        """The release that counts; None where there is none."""
        link = self.base / "current"
        return link.resolve() if link.is_symlink() and link.is_dir() else None

    def point(self, release: Path | None) -> None:
        """Let ``current`` be another release, from one moment to the next."""
        link, draft = self.base / "current", self.base / ".current.new"
        if release is None:
            link.unlink(missing_ok=True)
            return
        draft.unlink(missing_ok=True)
        draft.symlink_to(release.relative_to(self.base))
        draft.replace(link)

    def drop_new(self) -> None:
        """Remove the release that was being made, unless it counts by now.

        Half an environment goes too: on a full disk it would be in the way of another try.
        """
        if self.new is not None and self.new != self.current():
            shutil.rmtree(self.new, ignore_errors=True)
        self.new = None
        if self._half is not None:
            for path in (self._half, self.base / "tmp"):
                shutil.rmtree(path, ignore_errors=True)
            self._half = None

    def prune(self) -> list[str]:
        """Remove all but the release that counts and the one before it, and what only they used."""
        current = self.current()
        whole = [r for r in (self.base / "releases").iterdir() if (r / "release.json").exists()]
        others = sorted((r for r in whole if r != current), key=lambda r: r.name, reverse=True)
        kept = {r for r in (current, *others[: KEPT - 1]) if r is not None}
        venvs = {(release / "venv").resolve() for release in kept}
        gone = []
        for folder, keep in (("releases", kept), ("venvs", venvs)):
            for path in (self.base / folder).iterdir():
                if path not in keep:
                    shutil.rmtree(path, ignore_errors=True)
                    gone.append(f"{folder}/{path.name}")
        for name in ("incoming", "tmp"):
            shutil.rmtree(self.base / name, ignore_errors=True)
        return gone

    def _must(self, command: Sequence[str | Path], what: str) -> None:
        # Where /tmp lies in memory, wheels of 100 MB do not fit.
        env = {"TMPDIR": str(self.base / "tmp")}
        answer = self._line.run(command, env=env)
        if answer.returncode:
            raise RefusedError(f"{what} failed: {_fault(answer.stderr or answer.stdout)}")


class Serials:
    """The serials that ran, as they were when this was made.

    A release that did not become healthy has noted its own, and with ``--require-key`` the one
    before, which is older, would be refused.
    """

    def __init__(self) -> None:
        state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        self._file = Path(state).expanduser() / "edgenn/serials.json"
        self._before = self._read()

    def put_back(self) -> None:
        """Let the file be as it was; where the disk does not take it, the service will say so."""
        if self._read() == self._before:
            return
        with contextlib.suppress(OSError):
            if self._before is None:
                self._file.unlink()
                return
            draft = self._file.with_name(".serials.json.new")
            draft.write_bytes(self._before)
            draft.replace(self._file)

    def _read(self) -> bytes | None:
        try:
            return self._file.read_bytes()
        except OSError:  # none yet
            return None


def _fault(text: str) -> str:
    """Pip says first what was wrong and last how to upgrade it."""
    errors = [line for line in text.splitlines() if line.startswith("ERROR: ")]
    return errors[0].removeprefix("ERROR: ") if errors else last_line(text)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

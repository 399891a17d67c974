"""Gets files from a web server: bounded in size and time, and continued where it broke off."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
import urllib.error
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO

from edgenn.errors import SourceError
from edgenn.runtime._connections import why
from edgenn.runtime.update._http import Leash, request

_CHUNK = 1 << 16
_TRIES = 4
_SPARE = 4 << 20  # bytes that are left to the device


class Client:
    """Speaks to a server.

    Args:
        stopped: Ends what goes on.
        timeout_s: Seconds for the connection, and for each read.
        stall_s: Seconds within which an answer has to begin, and then 16 kB come each time.
        pause_s: Seconds before a download that broke off is continued, doubled each time.
    """

    def __init__(
        self,
        stopped: threading.Event,
        *,
        timeout_s: float = 10.0,
        stall_s: float = 60.0,
        pause_s: float = 2.0,
    ) -> None:
        self._stopped = stopped
        self._timeout_s, self._stall_s, self._pause_s = timeout_s, stall_s, pause_s

    def fetch(self, url: str, limit: int) -> bytes:
        """A small file.

        Raises:
            SourceError: It cannot be had, or has more bytes than ``limit``.
        """
        parts, size = [], 0
        for part in self._read(url, {}, limit, lambda _: None):
            size += len(part)
            if size > limit:
                raise SourceError(f"{url} is larger than {limit} bytes; it is refused")
            parts.append(part)
        return b"".join(parts)

    def fetch_if_any(self, url: str, limit: int) -> bytes:
        """As `fetch`, and nothing where the server says that there is no such file.

        Raises:
            SourceError: As for `fetch`.
        """
        try:
            return self.fetch(url, limit)
        except SourceError as error:
            if 400 <= getattr(error.__cause__, "code", 0) < 500:  # some say 403 for 404
                return b""
            raise

    def download(self, url: str, into: Path, size: int, sha256: str) -> None:
        """A large file, whole and checked; what is there of it already is kept.

        Args:
            url: Where it is.
            into: Where it goes.
            size: Bytes that it has.
            sha256: Its hash, hex.

        Raises:
            SourceError: It cannot be had, or is another one. What came stays where that may be
                continued, and goes where it is wrong.
        """
        for left in reversed(range(_TRIES)):
            before = _size(into)
            try:
                self._download(url, into, size)
                break
            except SourceError as error:
                if getattr(error.__cause__, "code", 0) == 416:  # the file there is another one
                    _drop(into)
                # To try again at once is worth it only where something came.
                if not left or _size(into) <= before:
                    raise
            if self._stopped.wait(self._pause_s * 2 ** (_TRIES - 1 - left)):
                raise SourceError(f"{url}: the download was ended")
        if file_sha256(into) != sha256:
            _drop(into)
            raise SourceError(f"{url} does not have the hash that the index says; it is refused")
        with into.open("rb") as file:
            os.fsync(file.fileno())

    def _download(self, url: str, into: Path, size: int) -> None:
        have, headers = _resumed(into, size)
        if have == size:
            return
        try:
            free = shutil.disk_usage(into.parent).free
            if free < size - have + _SPARE:
                raise SourceError(f"{url} has {size} bytes, and the disk has room for {free} only")
            with into.open("ab") as file:
                start = _Start(url, into, file, have, size)
                for part in self._read(url, headers, size, start.check):
                    if file.tell() + len(part) > size:
                        raise _drop_and_refuse(url, into, size)
                    file.write(part)
                have = file.tell()
        except OSError as error:
            raise SourceError(f"cannot write {into}: {error.strerror or error}") from error
        if have < size:
            raise SourceError(f"{url} broke off after {have} of {size} bytes")

    def _read(
        self, url: str, headers: dict[str, str], limit: int, check: Callable[[HTTPResponse], None]
    ) -> Iterator[bytes]:
        """Parts of a body as they come; ``check`` sees the head of the answer."""
        slow = f"cannot get {url}: less than 16 kB came in {self._stall_s:g} s"
        with Leash(self._stall_s, self._stopped) as leash:
            try:
                with request(url, headers, leash, self._timeout_s) as answer:
                    check(answer)
                    announced = answer.headers.get("Content-Length", "")
                    if announced.isdecimal() and int(announced) > limit:
                        raise SourceError(
                            f"{url} has {announced} bytes, and {limit} are the most; it is refused"
                        )
                    while part := answer.read1(_CHUNK):
                        leash.received(len(part))
                        yield part
            except urllib.error.HTTPError as error:
                error.close()
                said = f"the server answers {error.code} {_plain(error.reason)}"
                raise SourceError(f"{url}: {said}") from error
            except (OSError, HTTPException, ValueError) as error:
                said = _plain(why(error)) or type(error).__name__
                raise SourceError(slow if leash.stalled else f"cannot get {url}: {said}") from error
            if leash.stalled:
                raise SourceError(slow)


class _Start:
    """Decides by the head of an answer whether what is there is continued."""

    def __init__(self, url: str, into: Path, file: BinaryIO, have: int, size: int) -> None:
        self._url, self._into, self._file = url, into, file
        self._have, self._size = have, size

    def check(self, answer: HTTPResponse) -> None:
        """Go on at the end of what is there, or begin anew.

        Raises:
            SourceError: The answer is of another file.
        """
        etag = answer.headers.get("ETag", "")
        if answer.status == 206:
            told = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
            if told is None or (int(told[1]), int(told[2])) != (self._have, self._size):
                raise _drop_and_refuse(self._url, self._into, self._size)
            return
        self._file.truncate(0)
        self._file.seek(0)
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) != self._size:
            raise SourceError(
                f"{self._url} has {length} bytes, but the index says {self._size}; it is refused"
            )
        if re.fullmatch(r'"[\x21\x23-\x7e]*"', etag):  # a weak one does not vouch for bytes
            _etag_file(self._into).write_text(etag, "ascii")
        else:
            _etag_file(self._into).unlink(missing_ok=True)


def _resumed(into: Path, size: int) -> tuple[int, dict[str, str]]:
    """Bytes that are there and may be kept, and the headers that ask for the rest."""
    have, etag = _size(into), _etag_file(into)
    if have == size:
        return have, {}
    if have > size or not etag.is_file():
        _drop(into)
        return 0, {}
    if not have:
        return 0, {}
    return have, {"Range": f"bytes={have}-", "If-Range": etag.read_text("ascii")}


def file_sha256(path: Path) -> str:
    """Hash of a file, hex; empty where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(_CHUNK):
                digest.update(part)
    except OSError:
        return ""
    return digest.hexdigest()


def _plain(text: object) -> str:
    """What a server said, as part of one line of a log."""
    kept = "".join(c if c.isprintable() else " " for c in str(text)[:200])
    return " ".join(kept.split())


def _etag_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.etag")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _drop(path: Path) -> None:
    path.unlink(missing_ok=True)
    _etag_file(path).unlink(missing_ok=True)


def _drop_and_refuse(url: str, into: Path, size: int) -> SourceError:
    _drop(into)
    return SourceError(f"{url} is not the {size} bytes that the index says; it is refused")

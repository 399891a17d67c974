"""Lines on disk that wait to be delivered: in order, bounded, and still there after a restart.

The file is a header of 20 digits, the place of the first line that is not yet
delivered, and then the lines. It only grows at its end; it is emptied when all
is delivered, and written anew when it is full.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections import deque
from pathlib import Path

from edgenn.errors import SinkError

_HEADER = 21
_CHUNK = 1 << 13
_ROOM = 4  # a full file gives up this part of itself


class Spool:
    """A queue of lines in a file; used by one thread of one process.

    Args:
        path: The file; its folder is made.
        limit: Most bytes that the file may have.

    Attributes:
        dropped: Lines that were given up because the file was full.

    Raises:
        SinkError: It cannot be opened, or another process has it.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.dropped = 0
        self._fd = self._lock = -1
        self._path = path
        self._limit = limit
        self._sizes: deque[int] = deque()  # of the lines between _done and _next
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            self._done, self._end = self._recover()
        except BlockingIOError as error:
            self.close()
            raise SinkError(
                f"cannot write {path}: another edgenn delivers to the same topic; give this one "
                "a folder of its own with --mqtt-buffer"
            ) from error
        except OSError as error:
            self.close()
            raise SinkError(f"cannot write {path}: {error.strerror}") from error
        self._next = self._done

    def append(self, line: bytes) -> None:
        """Add a line, without its newline; where there is no room the oldest unsent ones go.

        Raises:
            OSError: The disk is full or gone; the file is as it was.
        """
        data = line + b"\n"
        if self._end + len(data) > self._limit:
            self._make_room(len(data))
        if self._end + len(data) > self._limit:
            self.dropped += 1
            return
        written = os.pwrite(self._fd, data, self._end)
        if written < len(data):
            os.ftruncate(self._fd, self._end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._end += written

    def next(self) -> bytes | None:
        """The oldest line that was not yet given out, or None; it stays until `done`."""
        if self._next == self._end:
            return None
        data = b""
        while b"\n" not in data:
            part = os.pread(self._fd, _CHUNK, self._next + len(data))
            if not part:
                raise SinkError(f"cannot read {self._path}: something else has cut it")
            data += part
        line = data[: data.index(b"\n")]
        self._sizes.append(len(line) + 1)
        self._next += len(line) + 1
        return line

    def done(self) -> None:
        """The oldest line that was given out has arrived."""
        self._done += self._sizes.popleft()
        if self._done == self._end:
            os.ftruncate(self._fd, _HEADER)
            self._done = self._next = self._end = _HEADER
        self._put_header(self._done)

    def is_empty(self) -> bool:
        """Whether every line has arrived."""
        return self._done == self._end

    def sync(self) -> None:
        """Have the disk keep what is written, also over a power cut."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file; what did not arrive waits in it for the next `Spool`."""
        for fd in (self._fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock = -1

    def _make_room(self, wanted: int) -> None:
        """Write the file anew, without what has arrived and, if need be, without the oldest."""
        start, dropped = self._next, self.dropped
        free = self._done - _HEADER
        while free < max(wanted, self._limit // _ROOM) and self.next() is not None:
            free += self._sizes.pop()
            self.dropped += 1
        try:
            end = self._copy(start)
        except OSError:
            self._next, self.dropped = start, dropped
            raise
        os.close(self._fd)
        self._fd = os.open(self._path, os.O_RDWR)
        self._next = _HEADER + start - self._done
        self._done, self._end = _HEADER, end

    def _copy(self, start: int) -> int:
        """Replace the file by its lines from _done to ``start`` and from _next on; its size."""
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as target, os.fdopen(self._fd, "rb", closefd=False) as source:
            target.write(b"%020d\n" % _HEADER)
            source.seek(self._done)
            target.write(source.read(start - self._done))
            source.seek(self._next)
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
            size = target.tell()
        fresh.replace(self._path)
        return size

    def _recover(self) -> tuple[int, int]:
        """Place of the first line that did not arrive, and of the end; a torn last line goes."""
        end = os.fstat(self._fd).st_size
        while end > _HEADER and os.pread(self._fd, 1, end - 1) != b"\n":
            block = max(_HEADER, end - _CHUNK)
            end = block + os.pread(self._fd, end - block, block).rfind(b"\n") + 1
        end = max(end, _HEADER)
        header = os.pread(self._fd, _HEADER, 0)
        done = int(header) if header.strip().isdigit() else 0
        # A power cut may have kept one block and lost another: then all is sent once more.
        if not _HEADER <= done <= end or os.pread(self._fd, 1, done - 1) != b"\n":
            done = _HEADER
        self._put_header(done)
        os.ftruncate(self._fd, end)
        return done, end

    def _put_header(self, done: int) -> None:
        os.pwrite(self._fd, b"%020d\n" % done, 0)

"""Runs of a pipeline beside the caller: in a thread, or in an event loop's executor."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Generator
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from edgenn.runtime.health import Summary
    from edgenn.runtime.pipeline import Pipeline
    from edgenn.types import Result

_JOIN_S = 10.0


class Background:
    """One run in a thread of its own, which starts at once.

    Args:
        run: The run; returns its summary.
    """

    def __init__(self, run: Callable[[], Summary]) -> None:
        self._run = run
        self._summary: Summary | None = None
        self._error: BaseException | None = None
        # A daemon: what hangs in a driver must not keep the process alive.
        self._thread = threading.Thread(target=self._work, name="edgenn run", daemon=True)
        self._thread.start()

    def wait(self, timeout: float | None) -> Summary | None:
        """Wait for the end; None where it has not come within the timeout in seconds.

        Raises:
            Exception: What ended the run.
        """
        self._thread.join(timeout)
        if self._error is not None:
            raise self._error
        return self._summary

    def join(self) -> None:
        """Wait a bounded time for the thread, after the run was asked to stop."""
        if self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def _work(self) -> None:
        try:
            self._summary = self._run()
        except BaseException as error:  # noqa: BLE001  it is raised again where it is awaited
            self._error = error


async def iterate_async(pipeline: Pipeline) -> AsyncIterator[Result]:
    """Results of a pipeline, awaited in one thread, so that the event loop goes on."""
    import asyncio  # not all devices need it, and it takes its time to import
    from concurrent.futures import ThreadPoolExecutor

    loop = asyncio.get_running_loop()
    results = cast("Generator[Result, None, None]", iter(pipeline))
    pool = ThreadPoolExecutor(1, "edgenn results")
    try:
        while (result := await loop.run_in_executor(pool, next, results, None)) is not None:
            yield result
    finally:
        # The thread may wait for a frame: it hears of the end within a tenth of a second.
        pipeline.stop()
        try:
            await loop.run_in_executor(pool, results.close)
        finally:
            pool.shutdown(wait=False)

"""Progress bars for steps that count their items."""

from __future__ import annotations

from collections.abc import Callable


def show_progress(step: str, total: int) -> Callable[[], object]:
    """Open a bar; it is told of every item, and vanishes with the last one.

    A total of 0 means that nobody knows it. Nothing is shown where the error output
    is not a terminal.
    """
    from tqdm import tqdm

    bar = tqdm(total=total or None, desc=step, leave=False, disable=None)

    def tick() -> None:
        bar.update()
        if total and bar.n >= total:
            bar.close()

    return tick

from __future__ import annotations

import threading
from time import monotonic, sleep

import pytest

from edgenn.runtime._ahead import Ahead


def never():
    return False


def test_hands_on_everything_in_order_and_ends_its_thread():
    ahead = Ahead(iter(range(1, 500)), "counts")
    assert list(ahead.take(never)) == list(range(1, 500))
    assert not ahead._thread.is_alive()


def test_works_ahead_but_not_further_than_told():
    made = []

    def count():
        for i in range(1, 100):
            made.append(i)
            yield i

    items = Ahead(count(), "counts", depth=3).take(never)
    assert next(items) == 1
    sleep(0.2)
    assert made == [1, 2, 3, 4]  # one was taken, three are ahead
    items.close()


def test_an_error_comes_after_all_that_was_before_it():
    def fails():
        yield from (1, 2, 3)
        raise ZeroDivisionError("three were enough")

    taken = []
    with pytest.raises(ZeroDivisionError, match="enough"):
        taken.extend(Ahead(fails(), "fails").take(never))
    assert taken == [1, 2, 3]


def test_leaving_half_way_closes_the_iterator_in_its_own_thread():
    closed = []

    def count():
        try:
            yield from range(1, 1000)
        finally:
            closed.append(threading.current_thread().name)

    items = Ahead(count(), "counts").take(never)
    next(items)
    items.close()
    assert closed == ["edgenn counts"]


def test_one_that_hangs_neither_blocks_the_end_nor_goes_unnoticed():
    release = threading.Event()

    def hangs():
        yield 1
        release.wait(20)

    beats = []

    def idle():
        beats.append(monotonic())
        return len(beats) == 3

    begun = monotonic()
    assert list(Ahead(hangs(), "hangs").take(idle)) == [1]
    assert monotonic() - begun < 2.5
    assert len(beats) == 3
    release.set()

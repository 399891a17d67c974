from __future__ import annotations

import threading
from time import monotonic, sleep

from edgenn.runtime.engines._fair import FairLock


def test_one_at_a_time():
    lock, inside, most = FairLock(), [], []
    end = monotonic() + 0.5

    def work(number):
        while monotonic() < end:
            with lock:
                inside.append(number)
                most.append(len(inside))
                sleep(0.002)
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) >= 4


def test_turns_come_in_the_order_in_which_they_were_asked_for():
    """Also one who has just had a turn waits for those who asked before."""
    lock, turns, threads = FairLock(), [], []

    def ask(number):
        with lock:
            turns.append(number)

    def asked(number):
        threads.append(threading.Thread(target=ask, args=(number,)))
        threads[-1].start()
        until = monotonic() + 10
        while len(lock._waiting) < len(threads):
            assert monotonic() < until
            sleep(0.001)

    with lock:
        for number in (2, 0, 3, 1):
            asked(number)
    with lock:
        turns.append("again")
    for thread in threads:
        thread.join()
    assert turns == [2, 0, 3, 1, "again"]

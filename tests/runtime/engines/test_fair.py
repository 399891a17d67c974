from __future__ import annotations

import threading
from collections import Counter
from time import monotonic, sleep

from edgenn.runtime.engines._fair import FairLock


def test_one_at_a_time_and_all_alike():
    lock, inside, most = FairLock(), [], []
    turns: Counter[int] = Counter()
    end = monotonic() + 0.5

    def work(number):
        while monotonic() < end:
            with lock:
                inside.append(number)
                most.append(len(inside))
                sleep(0.002)
                inside.remove(number)
                turns[number] += 1

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert max(turns.values()) - min(turns.values()) <= 2

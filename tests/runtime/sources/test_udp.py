from __future__ import annotations

import socket
import threading
from time import monotonic

import numpy as np
import pytest

from edgenn.errors import SourceError
from edgenn.runtime.sources import Options, open_source

XY = Options(channels=("x", "y"), rate=100)


@pytest.fixture
def source():
    with open_source("udp://127.0.0.1:0", XY) as source:
        yield source


def send(source, *datagrams, host="127.0.0.1"):
    with socket.socket(type=socket.SOCK_DGRAM) as out:
        out.bind((host, 0))
        for data in datagrams:
            out.sendto(data, ("127.0.0.1", source.port))


def take(source, count):
    items = iter(source)
    return np.concatenate([next(items).values for _ in range(count)]).tolist()


def test_one_or_several_lines_in_a_datagram_also_without_an_end(source):
    send(source, b"1,2", b"3,4\n5,6", b'{"x": 7, "y": 8}\n')
    assert take(source, 3) == [[1, 2], [3, 4], [5, 6], [7, 8]]


def test_what_another_host_sends_is_counted_and_not_mixed_in(source):
    send(source, b"1,2")
    items = iter(source)
    next(items)
    send(source, b"9,9", host="127.0.0.2")
    send(source, b"3,4")
    assert next(items).values.tolist() == [[3, 4]]
    assert source.dropped == 1


def test_closing_from_another_thread_ends_it_soon(source):
    threading.Timer(0.2, source.close).start()
    begun = monotonic()
    assert list(source) == []
    assert monotonic() - begun < 1


def test_a_port_that_is_taken_and_names_that_are_none(source):
    with pytest.raises(SourceError, match=rf"cannot listen on udp://127.0.0.1:{source.port}"):
        open_source(f"udp://127.0.0.1:{source.port}")
    for name in ("udp://host", "udp://host:port", "udp://:5005/x"):
        with pytest.raises(SourceError, match="write udp://:5005"):
            open_source(name)

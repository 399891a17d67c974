from __future__ import annotations

import os

import pytest

from edgenn.errors import SinkError
from edgenn.runtime.sinks._spool import Spool


def lines(spool):
    return [int(line) for line in iter(spool.next, None)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sub" / "a.spool"


def fill(spool, numbers):
    for i in numbers:
        spool.append(b"%09d" % i)


def test_what_has_not_arrived_is_given_out_again_after_a_restart(path):
    spool = Spool(path, 10_000)
    fill(spool, range(10))
    assert [int(spool.next()) for _ in range(6)] == list(range(6))
    for _ in range(4):
        spool.done()
    spool.close()
    again = Spool(path, 10_000)
    assert lines(again) == [4, 5, 6, 7, 8, 9]
    fill(again, [10])
    assert lines(again) == [10]
    for _ in range(7):
        assert not again.is_empty()
        again.done()
    assert again.is_empty()
    assert path.stat().st_size == 21
    again.close()


def test_a_full_one_gives_up_the_oldest_but_not_what_is_on_its_way(path):
    spool = Spool(path, 1021)  # 100 lines
    fill(spool, range(100))
    on_way = [int(spool.next()) for _ in range(3)]
    fill(spool, range(100, 150))
    assert path.stat().st_size <= 1021
    rest = lines(spool)
    assert on_way == [0, 1, 2]
    assert rest == list(range(150 - len(rest), 150))
    assert spool.dropped == 150 - 3 - len(rest)
    assert 70 <= len(rest) <= 97
    for _ in range(len(on_way) + len(rest)):
        spool.done()
    assert spool.is_empty()
    spool.close()


def test_nothing_is_lost_within_the_limit(path):
    spool = Spool(path, 1021)
    expected = 0
    for start in range(0, 3000, 30):  # 60 lines wait at most: the file wraps without loss
        fill(spool, range(start, start + 30))
        while expected < start:
            assert int(spool.next()) == expected
            spool.done()
            expected += 1
    assert spool.dropped == 0
    spool.close()


def test_a_line_longer_than_all_is_dropped(path):
    spool = Spool(path, 100)
    spool.append(b"x" * 200)
    fill(spool, [1])
    assert (lines(spool), spool.dropped) == ([1], 1)
    spool.close()


@pytest.mark.parametrize(
    "header", [b"00000000000000000026\n", b"00000000000000009999\n", b"?" * 21]
)
def test_a_power_cut_loses_no_whole_line(path, header):
    spool = Spool(path, 10_000)
    fill(spool, range(3))
    spool.close()
    data = path.read_bytes()
    path.write_bytes(header + data[21:] + b'{"torn": ' + bytes(9000))
    again = Spool(path, 10_000)
    fill(again, [3])
    assert lines(again) == [0, 1, 2, 3]
    again.close()


def test_two_do_not_share_one(path):
    first = Spool(path, 1000)
    with pytest.raises(SinkError, match=r"another edgenn delivers to the same topic; .*--mqtt-buf"):
        Spool(path, 1000)
    first.close()
    Spool(path, 1000).close()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(SinkError, match=r"cannot write .*file.a\.spool: "):
        Spool(tmp_path / "file" / "a.spool", 1000)


def test_a_full_disk_leaves_whole_lines(path, monkeypatch):
    spool = Spool(path, 10_000)
    fill(spool, [0])
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:4], at))
    with pytest.raises(OSError, match="No space left"):
        fill(spool, [1])
    monkeypatch.undo()
    fill(spool, [2])
    assert lines(spool) == [0, 2]
    spool.close()

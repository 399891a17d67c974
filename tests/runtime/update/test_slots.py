from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from time import sleep

import pytest

from edgenn.bundle.trust import Policy
from edgenn.errors import UsageError
from edgenn.runtime.update.slots import MAX_STARTS, Slots, State

HELPER = Path(__file__).with_name("forever.py")
KILLS = 40


@pytest.fixture
def slots(tmp_path):
    made = Slots(tmp_path / "slots")
    yield made
    made.close()


def place(slots, serial, data=None):
    data = data or b"bundle %d" % serial
    sha256 = hashlib.sha256(data).hexdigest()
    part = slots.part(sha256)
    part.write_bytes(data)
    return slots.place(part, "tiny", serial, sha256)


def again(slots):
    slots.close()
    return Slots(slots.folder)


def confirm(slots, serial):
    place(slots, serial)
    slots.begin()
    slots.confirm()


def test_bundles_take_turns_and_only_a_confirmed_one_runs(slots):
    assert slots.good() is None
    confirm(slots, 1)
    assert (slots.good().serial, slots.good().slot, slots.serial) == (1, "a", 1)
    trial = place(slots, 2)
    assert trial.slot == "b"
    slots = again(slots)
    assert slots.good().serial == 1
    slots.begin()
    slots.confirm()
    slots = again(slots)
    assert (slots.good().serial, slots.good().slot) == (2, "b")
    assert place(slots, 3).slot == "a"
    slots.close()


def test_a_damaged_bundle_gives_way_to_the_one_before(slots, caplog):
    confirm(slots, 1)
    confirm(slots, 2)
    slots.path(slots.good()).write_bytes(b"bit rot")
    slots = again(slots)
    assert slots.good().serial == 1
    assert "is damaged; the bundle before it is used" in caplog.text
    slots.path(slots.good()).unlink()
    assert slots.good() is None
    slots.close()


def test_a_trial_that_ends_the_program_each_time_is_refused(slots, caplog):
    confirm(slots, 1)
    place(slots, 2)
    for start in range(MAX_STARTS):
        assert slots.begin().starts == start + 1
        slots = again(slots)  # the power went, or the program crashed
        assert slots.good().serial == 1
    assert slots.begin() is None
    assert "ended the program 3 times" in caplog.text
    assert (slots.state.trial, slots.state.refused) == (None, (2,))
    slots.close()


def test_an_orderly_end_in_a_trial_does_not_count(slots):
    confirm(slots, 1)
    place(slots, 2)
    for _ in range(2 * MAX_STARTS):
        assert slots.begin().starts == 1
        slots.postpone()


def test_a_damaged_state_is_begun_anew(slots, caplog):
    confirm(slots, 1)
    for text in ("", "{", '{"version": 7}', '{"version": 1, "confirmed": {"slot": "../x"}}'):
        (slots.folder / "state.json").write_text(text)
        slots = again(slots)
        assert slots.state == State()
        assert "state.json is damaged" in caplog.text
    slots.close()


def test_a_folder_is_of_one_process(slots, tmp_path):
    with pytest.raises(UsageError, match=r"another edgenn uses .* with --slots"):
        Slots(slots.folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot use"):
        Slots(tmp_path / "file" / "x")


def test_downloads_of_others_are_removed(slots):
    slots.part("a" * 64).write_bytes(b"x")
    (slots.folder / f"{'a' * 64}.part.etag").write_text("x")
    kept = slots.part("a" * 64)
    assert kept.exists()
    slots.part("b" * 64)
    assert not list(slots.folder.glob("*.part*"))


def kill_again_and_again(folder, server, maker, times, seed=0):
    """Kills updates at random moments; the serials that a start found after each kill."""
    serial, one_at_a_time = 0, threading.Lock()

    def newer(handler):
        nonlocal serial
        with one_at_a_time:  # the request of one that was killed may still be under way
            serial += 1
            for old in server.folder.glob("*"):
                old.unlink()
            maker.publish(serial)
            data = (server.folder / "index.json").read_bytes()
        handler.hand_out(data)

    server.odd["index.json"] = newer
    policy = Policy((maker.public,))
    dice = random.Random(seed)
    command = [sys.executable, str(HELPER), str(folder), server.index, f"{maker.key}.pub"]
    found = []
    # How long an update takes depends on the machine: half of the kills come before its end.
    reach = 0.12
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        try:
            while len(found) < times:
                it.stdin.write("go\n")
                it.stdin.flush()
                pid = int(it.stdout.readline())
                sleep(dice.uniform(0, reach))
                os.kill(pid, signal.SIGKILL)
                ended = int(it.stdout.readline())
                assert ended == -signal.SIGKILL, "it ended of itself"
                slots = Slots(folder)
                good = slots.good()
                state = json.dumps(slots.state.model_dump())
                slots.close()
                if good is None:
                    assert not found, state  # nothing was ever confirmed
                    reach *= 1.1
                    continue
                trusted = policy.open(slots.path(good))
                assert trusted.statement.serial == good.serial
                reach *= 0.9 if found and good.serial > found[-1] else 1.1
                found.append(good.serial)
        finally:
            it.stdin.close()
    return found


def test_a_kill_at_any_moment_leaves_one_good_slot(tmp_path, server, maker):
    found = kill_again_and_again(tmp_path / "slots", server, maker, KILLS)
    assert found == sorted(found)  # never back
    assert len(set(found)) > KILLS // 4  # and on, so that kills met work


@pytest.mark.slow
def test_200_kills_leave_one_good_slot(tmp_path, server, maker):
    found = kill_again_and_again(tmp_path / "slots", server, maker, 200, seed=1)
    assert found == sorted(found)
    assert len(set(found)) > 50

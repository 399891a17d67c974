from __future__ import annotations

import json

import pytest

from edgenn.errors import BundleError, UsageError
from edgenn.runtime.update.device import device_id, percentile
from edgenn.runtime.update.index import Index, Release, choose, parse_index

HERE = {"name": "person", "serial": 5, "refused": (), "device": "d1", "edgenn": "0.2.1"}


def release(serial, **more):
    return Release(
        **{"name": "person", "serial": serial, "url": "x", "size": 1, "sha256": "0" * 64, **more}
    )


def chosen(*releases, **more):
    return choose(Index(releases=releases), **{**HERE, **more})


def test_the_newest_release_that_is_for_this_device_is_chosen():
    assert chosen(release(6), release(8), release(7)).release.serial == 8
    assert chosen(release(6), release(8, rollout=0), release(7)).release.serial == 7
    assert chosen(release(6), release(8), refused=(8,)).release.serial == 6
    assert chosen(release(5)).release is None
    assert chosen().release is None


def test_what_is_not_taken_is_told():
    lower = chosen(release(3), release(4))
    assert lower.release is None
    assert lower.reason == "the index ends at serial 4, but 5 ran here; it is ignored"
    assert chosen(release(9), name="watch").reason.startswith("the index is of person, but watch")
    needs = chosen(release(6), release(9, min_edgenn="0.10"))
    assert needs.release.serial == 6
    assert "needs edgenn 0.10, and this is 0.2.1" in needs.reason
    assert chosen(release(9, min_edgenn="0.2")).release.serial == 9


def test_a_share_of_devices_is_that_share_and_another_one_for_each_serial():
    devices = [f"device-{i}" for i in range(4000)]
    first = {d for d in devices if percentile(d, 7) < 20}
    assert len(first) == pytest.approx(800, abs=100)
    more = {d for d in devices if percentile(d, 7) < 50}
    assert first < more
    again = {d for d in devices if percentile(d, 8) < 20}
    assert len(first & again) < 250
    assert all(0 <= percentile(d, 1) < 100 for d in devices)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<html>", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "index version None is not known"),
        ('{"version": 2}', "index version 2 is not known"),
        ('{"version": 1, "more": 1}', "more: Extra inputs"),
        ('{"version": 1, "releases": [{"name": "a"}]}', "releases.0.serial: Field required"),
    ],
)
def test_what_is_no_index_is_refused(text, why):
    with pytest.raises(BundleError, match=why):
        parse_index(text.encode(), "index")


@pytest.mark.parametrize(
    "wrong",
    [{"size": 10_000_000_000}, {"sha256": "abc"}, {"rollout": 101}, {"serial": 0}, {"url": ""}],
)
def test_a_release_beyond_all_limits_is_refused(wrong):
    document = {"version": 1, "releases": [{**release(1).model_dump(), **wrong}]}
    with pytest.raises(BundleError, match=next(iter(wrong))):
        parse_index(json.dumps(document).encode(), "index")


def test_an_index_is_of_one_model_and_names_a_serial_once():
    for pair in ((release(1), release(1)), (release(1), release(2, name="watch"))):
        text = json.dumps({"version": 1, "releases": [r.model_dump() for r in pair]})
        with pytest.raises(BundleError, match="it lists"):
            parse_index(text.encode(), "index")


def test_a_device_has_an_id_that_does_not_tell_its_machine_id(tmp_path):
    machine = tmp_path / "machine-id"
    machine.write_text("0123456789abcdef0123456789abcdef\n")
    made = device_id(None, machine)
    assert made == device_id(None, machine)
    assert made not in machine.read_text()
    assert len(made) == 16
    assert device_id("lab:7", machine) == "lab:7"
    machine.write_text("uninitialized\n")
    with pytest.raises(UsageError, match="--device-id"):
        device_id(None, machine)
    with pytest.raises(UsageError, match="--device-id takes"):
        device_id("a/b")

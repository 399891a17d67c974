"""What a device begins with: its own bundle, a slot, or what the server has; none of it older."""

from __future__ import annotations

import pytest

from edgenn.bundle.signing import new_key, sign_index
from edgenn.errors import SourceError, TrustError, UsageError
from edgenn.runtime.update import serials
from edgenn.runtime.update.loader import Loader
from edgenn.runtime.update.publish import publish
from edgenn.runtime.update.slots import Slots
from edgenn.runtime.update.updater import Updater


def test_a_newer_bundle_of_the_factory_wins_over_the_slot(
    tmp_path, server, maker, policy, unproved
):
    maker.publish(3)
    slots = Slots(tmp_path / "slots")
    loader = Loader()
    made = [Updater(server.index, slots, policy, "d", loader) for _ in range(3)]
    made[0].start_with(None)
    assert made[0].serial == 3

    def factory(serial):
        opened = policy.open(maker.bundle(serial))
        return lambda: (loader.load(opened.bundle), serial)

    made[1].start_with(factory(2))
    made[2].start_with(factory(4))
    assert [(u.serial, u.slot) for u in made] == [(3, "a"), (3, "a"), (4, "")]
    slots.close()


def test_a_factory_bundle_that_is_not_trusted_any_more_gives_way_to_the_slot(
    tmp_path, server, maker, policy, unproved, caplog
):
    maker.publish(3)
    slots = Slots(tmp_path / "slots")
    new_key(maker.folder / "old.key")
    old = maker.bundle(1, key=maker.folder / "old.key")
    for _ in range(2):  # from the server, and then from the slot
        updater = Updater(server.index, slots, policy, "d", Loader())
        updater.start_with(lambda: policy.open(old))
        assert (updater.serial, updater.slot) == (3, "a")
        assert "none of which is a key wanted here; what the server has is used" in caplog.text
    slots.close()
    server.close()
    slots = Slots(tmp_path / "empty")
    with pytest.raises(TrustError, match="none of which is a key wanted here"):
        Updater(server.index, slots, policy, "d", Loader()).start_with(lambda: policy.open(old))
    slots.close()


def test_nothing_older_comes_from_a_server_than_what_ran_before_by_other_ways(
    tmp_path, server, maker, policy, unproved
):
    ledger, slots = tmp_path / "serials.json", Slots(tmp_path / "slots")
    serials.remember(ledger, "tiny-detect", 5)
    maker.publish(4)
    updater = Updater(server.index, slots, policy, "d", Loader(), ledger=ledger)
    with pytest.raises(SourceError, match="ends at serial 4, but 5 ran here"):
        updater.start_with(None)
    maker.publish(5)
    updater.start_with(None)
    maker.publish(6)
    updater = Updater(server.index, Slots(tmp_path / "b"), policy, "d", Loader(), ledger=ledger)
    updater.start_with(None)
    updater.close()
    slots.close()
    assert serials.floor(ledger, "tiny-detect") == 6


def test_an_index_that_was_signed_once_is_wanted_so_and_not_older(
    tmp_path, server, maker, policy, unproved
):
    index, signed = server.folder / "index.json", server.folder / "index.json.sig"
    keys, slots = [maker.key], Slots(tmp_path / "slots")
    publish(maker.bundle(1), server.folder, keys=keys)
    first = signed.read_bytes(), index.read_bytes()
    updater = Updater(server.index, slots, policy, "d", Loader(), ledger=tmp_path / "serials.json")
    updater.start_with(None)
    publish(maker.bundle(2), server.folder, rollout=0, keys=keys)
    second = signed.read_bytes(), index.read_bytes()
    assert updater._look() is None
    new_key(maker.folder / "other.key")
    now = second[1]
    foreign = sign_index(now, "tiny-detect", 1 << 50, [maker.folder / "other.key"]).encode()
    other = sign_index(now, "person", 1 << 50, keys).encode()
    for files, why in (
        ((second[0], now.replace(b'"rollout": 0.0', b'"rollout": 100.0')), "of another index"),
        (first, "was seen here; it is ignored"),
        ((b"<html>no such page", now), "was signed before, and is not any more"),
        ((foreign, now), "none of which is a key wanted here"),
        ((other, now), "is of person, but tiny-detect runs here"),
    ):
        signed.write_bytes(files[0])
        index.write_bytes(files[1])
        with pytest.raises(TrustError, match=why):
            updater._look()
    signed.unlink()
    with pytest.raises(TrustError, match="was signed before, and is not any more"):
        updater._look()
    index.write_bytes(second[1])
    signed.write_bytes(second[0])
    with pytest.raises(UsageError, match="is signed, and devices want it so; give --key"):
        publish(maker.bundle(2), server.folder)
    publish(maker.bundle(2), server.folder, keys=keys)
    assert updater._look().serial == 2
    slots.close()

"""A real broker."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from sensors import MOSQUITTO, Broker, feed, free_port

from edgenn.errors import SourceError
from edgenn.runtime import live
from edgenn.runtime.sources import Options, open_source

XY = Options(channels=("x", "y"), rate=100)
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


@needs_broker
def test_messages_with_one_or_several_lines(tmp_path):
    with (
        Broker(tmp_path) as broker,
        broker.sender() as send,
        open_source(f"mqtt://127.0.0.1:{broker.port}/wrist", XY) as source,
    ):
        items = iter(source)
        send("1,2\n3,4")
        send('{"x": 5, "y": 6}')
        values = []
        while len(values) < 3:
            values += next(items).values.tolist()
        assert values == [[1, 2], [3, 4], [5, 6]]
        assert source.name == f"mqtt://127.0.0.1:{broker.port}/wrist"


@needs_broker
def test_a_broker_that_was_away_is_found_again(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "_FIRST_WAIT_S", 0.05)
    first = Broker(tmp_path)

    def reopen():
        return open_source(f"mqtt://127.0.0.1:{first.port}/wrist", XY)

    with live.Live(reopen, reopen()) as source:
        items = iter(source)
        with first, first.sender() as send:
            send("0,0")
            assert next(items).values.tolist() == [[0, 0]]
        with Broker(tmp_path, first.port) as second, second.sender() as send:
            # The subscription comes some time after the broker.
            feeding = feed(["1,0"] * 100, send, rate=50)
            assert next(items).values[0].tolist() == [1, 0]
            feeding.join()
        assert source.reconnects == 1


@needs_broker
def test_a_password_is_used_and_never_shown(tmp_path):
    passwords = tmp_path / "passwords"
    tool = shutil.which("mosquitto_passwd")
    subprocess.run([tool, "-b", "-c", passwords, "me", "s3cret/@"], check=True)
    settings = ["allow_anonymous false", f"password_file {passwords}"]
    with Broker(tmp_path, settings=settings) as broker:
        url = f"mqtt://me:s3cret%2F%40@127.0.0.1:{broker.port}/wrist"
        with open_source(url, XY) as source:
            assert source.name == f"mqtt://127.0.0.1:{broker.port}/wrist"
        with pytest.raises(SourceError, match="the broker refuses: Not authorized") as caught:
            open_source(url.replace("s3cret", "wr0ng"), XY)
        assert "wr0ng" not in str(caught.value)


def test_nobody_there():
    with pytest.raises(SourceError, match="cannot be reached: Connection refused"):
        open_source(f"mqtt://127.0.0.1:{free_port()}/wrist", XY)


@pytest.mark.parametrize(
    "name", ["mqtt://host", "mqtt:///a", "mqtt://me:secret@host:x/a", "mqtt://me:secret@h/a/%23"]
)
def test_other_addresses_are_refused_without_showing_the_password(name):
    with pytest.raises(SourceError, match="there is no broker and topic in") as caught:
        open_source(name)
    assert "secret" not in str(caught.value)


def test_times_are_even_whatever_the_network_does():
    from edgenn.runtime.sources._lines import Lines

    lines = Lines("mqtt://host/wrist", XY)
    late = np.random.default_rng(0).exponential(0.02, 200)
    parts = [
        lines.push(b'{"time_ms": %d, "x": 1, "y": 2}\n' % (10 * i), 50 + i / 100 + late[i])
        for i in range(200)
    ]
    times = np.concatenate([part.times for part in parts])
    assert np.abs(np.diff(times) * 100 - 1).max() < 0.01

"""Streams over the network: GStreamer's RTSP server, read as a network camera is."""

from __future__ import annotations

import subprocess
import threading
from itertools import islice
from time import monotonic, sleep

import numpy as np
import pytest
from rtsp_server import age, number

from edgenn.errors import SourceError
from edgenn.runtime import live
from edgenn.runtime.live import Live
from edgenn.runtime.sources import open_source


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(live, "_FIRST_WAIT_S", 0.1)
    monkeypatch.setattr(live, "_LONGEST_WAIT_S", 0.3)


def test_frames_of_a_camera_come_in_order_and_soon(rtsp):
    with open_source(rtsp().url) as source:
        assert source.live
        seen = [(f.index, number(f.image), age(f.image)) for f in islice(source, 60)]
    indices, numbers, ages = zip(*seen, strict=True)
    assert list(indices) == list(range(60))
    assert np.all(np.diff(numbers) >= 1)
    assert numbers[-1] - numbers[0] <= 60 + 3
    # What was sent while the stream was looked into comes late; then the delay is short.
    assert np.median(ages[-20:]) < 0.5


def test_a_camera_that_was_unplugged_comes_back(rtsp):
    server = rtsp()

    def reopen():
        return open_source(server.url)

    with Live(reopen, reopen()) as source:
        frames = iter(source)
        for _ in range(10):
            next(frames)
        server.kill()
        threading.Timer(1.0, lambda: rtsp(server.port)).start()
        begun = monotonic()
        after = []
        while len(after) < 20:
            frame = next(frames)
            if source.connection:  # what was on its way before comes first
                after.append(frame)
        assert monotonic() - begun < 20
    assert source.reconnects == 1
    assert np.all(np.diff([number(f.image) for f in after]) >= 1)
    assert age(after[-1].image) < 1


def test_user_and_password(rtsp, capfd):
    url = rtsp(0, "--user", "me:secret@1").url
    with open_source(url.replace("://", "://me:secret%401@")) as source:
        assert "secret" not in source.name
        assert next(iter(source)).image.shape == (240, 320, 3)
    for credentials, message in (
        ("me:wrongsecret@", r"user name or password is refused \(401\)"),
        ("", r"wants a user name and password \(401\), as rtsp://user:password@"),
    ):
        begun = monotonic()
        with pytest.raises(SourceError, match=message) as caught:
            open_source(url.replace("://", f"://{credentials}"))
        assert "wrongsecret" not in str(caught.value) + "".join(capfd.readouterr())
        assert monotonic() - begun < 5


def test_what_else_may_be_wrong_with_a_url(rtsp, capfd):
    server = rtsp()
    with pytest.raises(SourceError, match=r"127\.0\.0\.1 has no stream of that name \(404\)"):
        open_source(f"{server.url}/other")
    server.kill()
    with pytest.raises(SourceError, match=f"nothing answers at its port {server.port}"):
        open_source(server.url)
    with pytest.raises(SourceError, match=r"no device is known by the name nobody\.invalid"):
        open_source("rtsp://nobody.invalid/x")
    capfd.readouterr()


def test_a_certificate_that_nobody_signed_is_taken(rtsp, tmp_path):
    pem = tmp_path / "camera.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=camera", "-keyout", str(pem), "-out", str(tmp_path / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    with pem.open("a", encoding="utf-8") as file:
        file.write((tmp_path / "cert.pem").read_text(encoding="utf-8"))
    url = rtsp(0, "--user", "me:secret", "--certificate", str(pem)).url
    with open_source(url.replace("://", "://me:secret@")) as source:
        assert next(iter(source)).image.shape == (240, 320, 3)


def test_a_slow_consumer_sees_what_is_now(rtsp):
    url = rtsp().url
    with Live(lambda: open_source(url), open_source(url)) as source:
        ages = []
        for frame in islice(source, 12):
            ages.append(age(frame.image))
            sleep(0.2)
    assert max(ages[-5:]) < 0.5
    assert source.dropped >= 20

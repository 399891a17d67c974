from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from time import monotonic, sleep

import numpy as np
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edgenn import plugins
from edgenn.errors import MissingExtraError, SinkError, UsageError
from edgenn.runtime import sinks
from edgenn.runtime.sinks._home import Home
from edgenn.runtime.sinks.mqtt import MqttSink, open_sink, parse
from edgenn.types import Classification, Detections, Event, Frame, Result, Window

IMAGE = np.zeros((4, 4, 3), np.uint8)
TOPIC = "home/hall"
FOUND = Detections(np.ones((1, 4), np.float32), np.ones(1, np.float32), np.zeros(1, int), ("cat",))
PROGRAM = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")

needs_broker = pytest.mark.skipif(PROGRAM is None, reason="mosquitto is not installed")


def result(i, found=FOUND):
    return Result(Frame(IMAGE, i / 10, i, "camera:0"), found)


def wait_for(condition, seconds=10):
    until = monotonic() + seconds
    while not condition():
        assert monotonic() < until, "it never came"
        sleep(0.01)


class Broker:
    """A mosquitto that can be killed and started again at the same port."""

    def __init__(self, folder, settings=()):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"mqtt://127.0.0.1:{self.port}/{TOPIC}"
        self.settings = list(settings) or ["allow_anonymous true"]
        self.folder, self.process = folder, None

    def start(self):
        config = self.folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "user root", *self.settings]
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.process = subprocess.Popen(
            [PROGRAM, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self.answers)
        return self

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except ConnectionRefusedError:
            return False
        return True

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Listener:
    """Keeps the number of each frame, and the last status."""

    def __init__(self, port, user=None, password=None):
        self.frames, self.bodies, self.status, ready = [], [], [], threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda c, *_: c.subscribe(f"{TOPIC}/#", 0)
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_message = self.take
        if user:
            self.client.username_pw_set(user, password)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert ready.wait(5)

    def take(self, client, data, message):
        if message.topic == TOPIC:
            body = json.loads(message.payload)
            self.bodies.append(body)
            self.frames.append(body["frame"])
        else:
            self.status.append((message.topic, message.payload, bool(message.retain)))

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def made():
    """What a test started, to be ended with it."""
    things = []
    yield lambda thing: things.append(thing) or thing
    for thing in reversed(things):
        getattr(thing, "close", None) and thing.close()
        getattr(thing, "kill", None) and thing.kill()


@pytest.fixture
def broker(tmp_path, made):
    return made(Broker(tmp_path).start())


def first_seen(numbers):
    return list(dict.fromkeys(numbers))


@needs_broker
def test_what_says_something_arrives_as_a_line_of_the_json_form(broker, made, tmp_path):
    listener = made(Listener(broker.port))
    sink = made(open_sink(broker.url, buffer=str(tmp_path / "b")))
    scores = Classification(np.array([1.0], np.float32), ("sit",))
    window = Window(np.zeros((1, 1), np.float32), 0, 1, 7, "wrist")
    for item in (
        result(0),
        result(1, Detections.empty()),
        Result(window, scores, (Event("sit", 0, 1, 0.9),)),
        Result(window, scores),
        result(2),
    ):
        sink.write(item)
    sink.close()
    wait_for(lambda: len(listener.frames) == 3 and len(listener.status) == 2)
    assert listener.frames == [0, 7, 2]
    assert listener.bodies[0]["detections"][0]["label"] == "cat"
    assert listener.bodies[1]["events"][0]["label"] == "sit"
    assert [s[:2] for s in listener.status] == [
        (f"{TOPIC}/status", b"online"),
        (f"{TOPIC}/status", b"offline"),
    ]
    late = made(Listener(broker.port))
    wait_for(lambda: late.status)
    assert late.status == [(f"{TOPIC}/status", b"offline", True)]


@needs_broker
def test_a_broker_that_is_killed_in_the_middle_gets_all_in_order(broker, made, tmp_path, caplog):
    before = made(Listener(broker.port))
    sink = made(open_sink(broker.url, buffer=str(tmp_path / "b")))
    slowest, count, after, killed = 0.0, 0, None, 0.0
    while count < 400 or after is None:
        start = monotonic()
        sink.write(result(count))
        slowest = max(slowest, monotonic() - start)
        count += 1
        sleep(0.005)
        if count == 100:
            # What the broker has and not yet the listener goes with the broker.
            wait_for(lambda: len(before.frames) == 100)
            broker.kill()
            before.close()
            killed = monotonic()
        # The sink tries again after 1 and after 3 s: the listener is there before it.
        if after is None and killed and monotonic() - killed > 1.3:
            broker.start()
            after = made(Listener(broker.port))
    wait_for(lambda: after.frames and after.frames[-1] == count - 1)
    sink.close()
    assert first_seen(before.frames + after.frames) == list(range(count))
    assert len(before.frames + after.frames) <= count + 20  # those on their way may come twice
    assert slowest < 0.5
    assert caplog.text.count("the connection broke; results wait on disk") == 1


@needs_broker
def test_a_restart_without_a_broker_loses_nothing(made, tmp_path, caplog):
    broker = made(Broker(tmp_path))
    for part in (range(50), range(50, 80)):
        sink = open_sink(broker.url, buffer=str(tmp_path / "b"))
        for i in part:
            sink.write(result(i))
        wait_for(lambda: "cannot connect" in caplog.text)
        start = monotonic()
        sink.close()
        assert monotonic() - start < 4
        assert "is kept for the next run" in caplog.text
        caplog.clear()
    broker.start()
    listener = made(Listener(broker.port))
    sink = open_sink(broker.url, buffer=str(tmp_path / "b"))
    sink.write(result(80))
    sink.close()
    wait_for(lambda: len(listener.frames) == 81)
    assert listener.frames == list(range(81))
    assert "kept" not in caplog.text


CRASH = """
import os, signal, sys
sys.path.insert(0, sys.argv[3])
from test_mqtt import open_sink, result, sleep
sink = open_sink(sys.argv[1], buffer=sys.argv[2])
for i in range(30):
    sink.write(result(i))
sleep(0.5)
os.kill(os.getpid(), signal.SIGKILL)
"""


@needs_broker
def test_a_crash_loses_nothing_and_the_broker_says_offline(broker, made, tmp_path):
    here = os.path.dirname(__file__)  # noqa: PTH120
    spool, env = tmp_path / "b", {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    listener = made(Listener(broker.port))
    crash = [sys.executable, "-c", CRASH, broker.url, str(spool), here]
    assert subprocess.run(crash, timeout=30, check=False, env=env).returncode == -signal.SIGKILL
    wait_for(lambda: len(listener.status) == 2)
    assert [payload for _, payload, _ in listener.status] == [b"online", b"offline"]
    assert listener.frames == list(range(30))
    broker.kill()
    assert subprocess.run(crash, timeout=30, check=False, env=env).returncode == -signal.SIGKILL
    broker.start()
    listener = made(Listener(broker.port))
    open_sink(broker.url, buffer=str(spool)).close()
    wait_for(lambda: len(listener.frames) == 30)
    assert listener.frames == list(range(30))


@needs_broker
def test_a_full_buffer_gives_up_the_oldest_and_says_so(made, tmp_path, caplog):
    broker = made(Broker(tmp_path))
    sink = MqttSink(parse(broker.url), tmp_path / "b", limit=20_000)
    for i in range(500):
        sink.write(result(i))
        sleep(0.0005)
    wait_for(lambda: "the buffer on disk is full" in caplog.text)
    sink.close()
    assert all(file.stat().st_size <= 20_000 for file in (tmp_path / "b").iterdir())
    broker.start()
    listener = made(Listener(broker.port))
    open_sink(broker.url, buffer=str(tmp_path / "b")).close()
    wait_for(lambda: listener.frames and listener.frames[-1] == 499)
    assert listener.frames == list(range(500 - len(listener.frames), 500))
    assert len(listener.frames) > 60


@needs_broker
def test_a_password_is_used_and_never_shown(made, tmp_path, caplog):
    passwords = tmp_path / "passwords"
    tool = shutil.which("mosquitto_passwd")
    subprocess.run([tool, "-b", "-c", passwords, "me", "s3cret/@"], check=True)
    broker = made(Broker(tmp_path, ["allow_anonymous false", f"password_file {passwords}"]))
    broker.start()
    listener = made(Listener(broker.port, "me", "s3cret/@"))
    with caplog.at_level(logging.DEBUG):
        for password in ("wr0ng", "s3cret%2F%40"):
            url = broker.url.replace("//", f"//me:{password}@")
            sink = open_sink(url, buffer=str(tmp_path / "b"))
            sink.write(result(len(password)))
            wait_for(lambda: "the broker refuses: Not authorized" in caplog.text)
            sink.close()
    wait_for(lambda: len(listener.frames) == 2)
    assert listener.frames == [5, 12]
    assert not any(secret in caplog.text for secret in ("wr0ng", "s3cret"))


# Paho leaves it to the garbage collector to close a socket whose handshake failed.
@pytest.mark.filterwarnings("ignore:.*ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
@needs_broker
def test_tls_with_a_certificate_that_the_system_trusts(made, tmp_path, monkeypatch, caplog):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    broker = Broker(tmp_path, ["allow_anonymous true", f"certfile {cert}", f"keyfile {key}"])
    made(broker).start()
    url = f"mqtts://localhost:{broker.port}/{TOPIC}"
    sink = made(open_sink(url, buffer=str(tmp_path / "b")))
    sink.write(result(0))
    wait_for(lambda: "cannot connect" in caplog.text)  # nobody vouches for it
    sink.close()
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    sink = open_sink(url, buffer=str(tmp_path / "b"))
    sink.write(result(1))
    caplog.clear()
    sink.close()
    assert "kept" not in caplog.text


def certificate(folder, name, authority=None):
    """Paths of a key and a certificate, signed by itself or by another one."""
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-keyout", key, "-out", cert]
    if authority is not None:
        command += ["-addext", f"subjectAltName=DNS:{name}", "-CA", authority[1]]
        command += ["-CAkey", authority[0], "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return str(key), str(cert)


@pytest.mark.filterwarnings("ignore:.*ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
@needs_broker
def test_a_broker_that_wants_a_certificate_of_the_device(made, tmp_path, caplog):
    authority = certificate(tmp_path, "authority")
    server, client = (certificate(tmp_path, n, authority) for n in ("localhost", "camera"))
    settings = [f"cafile {authority[1]}", f"certfile {server[1]}", f"keyfile {server[0]}"]
    settings += ["require_certificate true", "use_identity_as_username true"]
    broker = made(Broker(tmp_path, settings).start())
    url = f"mqtts://localhost:{broker.port}/{TOPIC}"
    buffer = str(tmp_path / "b")
    sink = open_sink(url, buffer=buffer, ca=authority[1])
    sink.write(result(0))
    sink.close()
    assert "kept for the next run" in caplog.text
    caplog.clear()
    sink = open_sink(url, buffer=buffer, ca=authority[1], cert=client[1], key=client[0])
    sink.write(result(1))
    wait_for(lambda: sink._linked)
    sink.close()
    assert "kept" not in caplog.text


def test_certificates_that_cannot_be_used(tmp_path):
    (tmp_path / "x.pem").write_text("no certificate")
    path = str(tmp_path / "x.pem")
    for options, message in (
        ({"ca": path}, r"certificates in .*x\.pem cannot be used"),
        ({"ca": str(tmp_path / "none")}, "No such file"),
        ({"cert": path}, "need each other"),
        ({"cert": path, "key": path}, "cannot be used"),
    ):
        with pytest.raises(UsageError, match=message):
            open_sink("mqtts://127.0.0.1:9/a", buffer=str(tmp_path / "b"), **options)
    with pytest.raises(UsageError, match="need an address with mqtts://"):
        open_sink("mqtt://127.0.0.1:9/a", buffer=str(tmp_path / "b"), ca=path)


@needs_broker
def test_home_assistant_finds_the_labels_and_hears_when_they_are_gone(broker, made, tmp_path):
    home = Home("street", ("cat",), detects=True)
    listener = made(Listener(broker.port))
    sink = open_sink(broker.url, buffer=str(tmp_path / "b"), home=home)
    for item in (result(0), result(1, Detections.empty()), result(2, Detections.empty())):
        sink.write(item)
    sink.close()
    wait_for(lambda: len(listener.status) == 2)
    told = {}
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda c, *_: c.subscribe("homeassistant/#", 1)
    client.on_message = lambda c, d, m: told.update({m.topic: (m.payload, m.retain)})
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    wait_for(lambda: len(told) == 2)
    client.disconnect()
    client.loop_stop()
    expected = {topic: (text.encode(), True) for topic, text in home.messages(TOPIC)}
    assert told == expected
    assert listener.frames == [0, 1]  # the second empty frame says nothing new


def test_two_runs_do_not_deliver_from_one_buffer(tmp_path):
    first = open_sink("mqtt://127.0.0.1:9/a", buffer=str(tmp_path))
    with pytest.raises(SinkError, match="another edgenn delivers to the same topic"):
        open_sink("mqtt://127.0.0.1:9/a", buffer=str(tmp_path))
    open_sink("mqtt://127.0.0.1:9/b", buffer=str(tmp_path)).close()
    first.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://host/a/b", ("host", 1883, False, None, None, "a/b", "mqtt://host:1883/a/b")),
        ("mqtts://u:p%2F@h:9/a", ("h", 9, True, "u", "p/", "a", "mqtts://h:9/a")),
        ("mqtt://[::1]/a", ("::1", 1883, False, None, None, "a", "mqtt://::1:1883/a")),
    ],
)
def test_addresses(url, expected):
    assert parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        *("http://h/a", "mqtt://h", "mqtt://h/", "mqtt:///a", "mqtt://h/a/", "mqtt://h/a#b"),
        *("mqtt://u:secret@h:x/a", "mqtt://u:secret@h/a/%23", "mqtt://h/a?b", "mqtt://h/%2B"),
    ],
)
def test_other_addresses_are_refused_without_showing_the_password(url):
    with pytest.raises(UsageError, match=r"--mqtt wants mqtt\[s\]://") as caught:
        parse(url)
    assert "secret" not in str(caught.value)


def test_a_missing_paho_is_named_with_its_pip_line(monkeypatch):
    monkeypatch.delitem(sys.modules, "edgenn.runtime.sinks.mqtt")
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(MissingExtraError, match=r"'paho': pip install 'edgenn\[mqtt\]'"):
        plugins.load(sinks, "mqtt")

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from time import monotonic, sleep

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edgenn.cli import main

EDGENN = [sys.executable, "-m", "edgenn"]
PROGRAM = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")


@pytest.fixture(autouse=True)
def state(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "edgenn"


@pytest.fixture
def edgenn(monkeypatch, capsys):
    """Runs a command in this process: exit code, standard output, standard error."""

    def edgenn(*args):
        monkeypatch.setattr(sys, "argv", ["edgenn", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return edgenn


@pytest.fixture
def bundle(tmp_path, tiny):
    path = tmp_path / "my.edgenn"
    shutil.copy(tiny / "tiny-detect.edgenn", path)
    return path


@pytest.fixture
def keys(edgenn, tmp_path):
    for name in ("one", "two"):
        code, out, _ = edgenn("key", "new", tmp_path / name)
        assert code == 0
        assert re.match(r"key [0-9a-f]{16}: ", out)
    return tmp_path / "one", tmp_path / "two"


def pub(key):
    return f"{key}.pub"


def wait_for(condition, seconds=20):
    until = monotonic() + seconds
    while not condition():
        assert monotonic() < until, "it never came"
        sleep(0.02)


def test_signed_with_two_keys_and_run_with_either(edgenn, keys, bundle, clip, tmp_path):
    code, out, _ = edgenn("sign", bundle, "--key", keys[0], "--key", keys[1], "--serial", 3)
    assert (code, out.split(", ")[1]) == (0, "serial 3")
    for key in keys:
        code, _, err = edgenn("run", bundle, "--source", clip, "--require-key", pub(key))
        assert code == 0, err
    code, _, err = edgenn("verify", bundle, "--require-key", pub(keys[1]), "--engine", "litert")
    assert code == 0
    assert "serial 3" in err
    code, out, _ = edgenn("key", "new", keys[0])
    assert code == 2


def test_what_is_not_trusted_ends_with_13_and_a_sentence(
    edgenn, keys, bundle, clip, tmp_path, tiny, state
):
    def run(path, *more):
        code, _, err = edgenn("run", path, "--source", clip, "--require-key", pub(keys[0]), *more)
        (line,) = err.strip().splitlines()
        return code, line

    assert run(bundle)[0] == 13
    assert "is not signed" in run(bundle)[1]
    bare = tmp_path / "model.onnx"
    bare.write_bytes(b"x")
    assert run(bare)[0] == 13
    assert "bare model file" in run(bare)[1]
    edgenn("sign", bundle, "--key", keys[0], "--serial", 5)
    signed = bundle.read_bytes()
    code, _, err = edgenn("run", bundle, "--source", clip, "--require-key", pub(keys[0]))
    assert code == 0, err
    assert json.loads((state / "serials.json").read_text()) == {"tiny-detect": 5}
    shutil.copy(tiny / "tiny-detect.edgenn", bundle)
    edgenn("sign", bundle, "--key", keys[0], "--serial", 4)
    code, line = run(bundle)
    assert code == 13
    assert "has serial 4, but 5 of tiny-detect ran here before" in line
    bundle.write_bytes(signed)
    (tmp_path / "revoked").write_text(json.dumps({"version": 1, "keys": [key_id(keys[0])]}))
    code, line = run(bundle, "--revoked", tmp_path / "revoked")
    assert code == 13
    assert "a key that is revoked" in line
    code, _, err = edgenn("verify", bundle, "--require-key", pub(keys[1]))
    assert code == 13
    unsigned = tiny / "tiny-detect.edgenn"
    code, line = run(bundle, "--fallback", unsigned)
    assert code == 13


def key_id(key):
    return key.with_name(f"{key.name}.pub").read_text().split()[1]


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--revoked", "x"], "--revoked is of no use without --require-key"),
        (["--slots", "x"], "--slots is of no use without --bundle-url"),
        (["--bundle-url", "http://h/index.json"], "--bundle-url needs --require-key"),
        (["--bundle-url", "file:///x", "--allow-unsigned"], "wants an address such as https://"),
        (["--bundle-url", "http://h/x", "--allow-unsigned", "--fallback", "x"], "leave out one"),
        (["--require-key", "KEY", "--allow-unsigned"], "exclude each other"),
        (["--mqtt-state", "a/b"], "--mqtt-state wants mqtt://host/topic"),
        (["--mqtt-state", "mqtt://h/a/#"], "a topic without + and #"),
        (["--poll", "5"], "is no time such as 90s"),
        (["--poll", "0s"], "is no time such as 90s"),
        (["--poll", "999999d"], "is no time such as 90s"),
    ],
)
def test_flags_that_make_no_sense_are_told(edgenn, bundle, clip, flags, why):
    code, _, err = edgenn("run", bundle, "--source", clip, *flags)
    assert code == 2
    assert why in err


def test_publish_says_what_it_did_and_refuses_what_devices_would(edgenn, keys, bundle, tmp_path):
    out = tmp_path / "www"
    code, _, err = edgenn("publish", bundle, "--to", out)
    assert code == 2
    assert "is not signed; sign it, or give --serial" in err
    edgenn("sign", bundle, "--key", keys[0], "--serial", 3)
    code, said, _ = edgenn("publish", bundle, "--to", out, "--rollout", 20)
    assert code == 0
    assert said.endswith("tiny-detect, serial 3, for 20 % of devices\n")
    assert edgenn("publish", bundle, "--to", out, "--rollout", 50)[0] == 0
    (release,) = json.loads((out / "index.json").read_text())["releases"]
    assert (release["serial"], release["rollout"], release["url"]) == (
        3,
        50,
        "tiny-detect-3.edgenn",
    )
    assert (out / release["url"]).stat().st_size == release["size"]
    edgenn("sign", bundle, "--key", keys[0], "--serial", 2)
    code, _, err = edgenn("publish", bundle, "--to", out)
    assert code == 2
    assert "no device would take 2" in err
    edgenn("sign", bundle, "--key", keys[0], "--serial", 5)
    assert edgenn("publish", bundle, "--to", tmp_path / "signed", "--key", keys[0])[0] == 0
    code, _, err = edgenn("publish", bundle, "--to", tmp_path / "signed", "--rollout", 7)
    assert code == 2
    assert "is signed, and devices want it so; give --key" in err
    assert edgenn("publish", bundle, "--to", out, "--serial", 9)[0] == 2
    edgenn("sign", bundle, "--key", keys[0], "--serial", 4)
    before = (out / "index.json").read_bytes()
    for odd in (["--rollout", "nan"], ["--min-edgenn", "soon"]):
        code, _, err = edgenn("publish", bundle, "--to", out, *odd)
        assert code == 2
        assert err.startswith(f"edgenn: devices would not take this {odd[0][2:]}: ")
        assert len(err.strip().splitlines()) == 1
    assert (out / "index.json").read_bytes() == before


def test_a_run_follows_the_server_and_starts_with_the_newest_afterwards(
    tmp_path, server, maker, keys
):
    maker.publish(1)
    out = tmp_path / "out.jsonl"
    command = [*EDGENN, "run", "--source", "test://?size=64x48&fps=50", "--bundle-url"]
    command += [server.index, "--require-key", f"{maker.key}.pub", "--poll", "0.2s"]
    command += ["--trial", "1s", "--device-id", "lab", "--out", out]
    state = tmp_path / "state" / "edgenn" / "slots" / "state.json"

    def confirmed():
        return json.loads(state.read_text())["confirmed"] if state.exists() else None

    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as run:
        wait_for(lambda: confirmed() and confirmed()["serial"] == 1)
        maker.publish(2)
        wait_for(lambda: confirmed()["serial"] == 2)
        run.send_signal(signal.SIGTERM)
        _, err = run.communicate(timeout=20)
    assert run.returncode == 0, err
    assert "tiny-detect serial 2 is confirmed" in err
    frames = [json.loads(line)["frame"] for line in out.read_text().splitlines()]
    assert frames == sorted(set(frames))
    server.close()
    command = [str(c) for c in command] + ["--max-frames", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(PROGRAM is None, reason="mosquitto is not installed")
def test_a_broker_hears_how_a_device_is_and_that_it_is_gone(tmp_path, keys, bundle, edgenn):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nuser root\nallow_anonymous true\n")
    edgenn("sign", bundle, "--key", keys[0], "--serial", 7)
    command = [*EDGENN, "run", str(bundle), "--source", "test://?size=64x48&fps=50"]
    command += ["--mqtt-state", f"mqtt://127.0.0.1:{port}/edgenn/{{device}}/state"]
    command += ["--device-id", "lab", "--require-key", pub(keys[0])]
    heard, ready = [], threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda c, *_: c.subscribe("edgenn/#", 1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda c, d, m: heard.append((m.topic, json.loads(m.payload)))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([PROGRAM, "-c", config], **quiet) as broker:
        try:
            wait_for(lambda: answers(port))
            client.connect("127.0.0.1", port)
            client.loop_start()
            assert ready.wait(5)
            for ending in (signal.SIGTERM, signal.SIGKILL):
                heard.clear()
                with subprocess.Popen(command, **quiet) as run:
                    wait_for(lambda: any(said["online"] for _, said in heard))
                    sleep(0.3)
                    run.send_signal(ending)
                wait_for(lambda: not heard[-1][1]["online"])
                topic, said = next(h for h in heard if h[1]["online"])
                assert topic == "edgenn/lab/state"
                assert (said["bundle"], said["serial"], said["device"]) == ("tiny-detect", 7, "lab")
                assert {"fps", "p95_ms", "dropped", "temperature", "level", "uptime_s"} <= set(said)
        finally:
            client.disconnect()
            client.loop_stop()
            broker.terminate()


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return False
    return True

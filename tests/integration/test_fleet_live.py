"""The server of deploy/fleet for real: its broker and its Prometheus, with a device that runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from sensors import MOSQUITTO, free_port, wait_for

yaml = pytest.importorskip("yaml")
mqtt = pytest.importorskip("paho.mqtt.client")
FLEET = Path(__file__).parents[2] / "deploy" / "fleet"
PROMETHEUS = shutil.which("prometheus")
TOKEN = "token-of-the-fleet"
# Only from a board that has such a sensor, and from a model that saw something.
MAY_BE_EMPTY = ("edgenn_temperature_celsius", "edgenn_events_total")


def config(name, **changes):
    """A file of deploy/fleet with places of the containers changed to ones of this test."""
    text = (FLEET / name).read_text("utf-8")
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, str(new))
    return text


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Ports of the broker, the device and Prometheus, which all run."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    if PROMETHEUS is None:
        pytest.skip("prometheus is not installed")
    folder = tmp_path_factory.mktemp("fleet")
    broker, device, prometheus = (free_port() for _ in range(3))
    (folder / "passwd").touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", folder / "passwd", "fleet", "PASSWORD"], check=True)
    changes = {"1883": f"{broker} 127.0.0.1", "/mosquitto/config": folder}
    text = config("mosquitto.conf", **changes, **{"/mosquitto/data/": f"{folder}/"})
    (folder / "mosquitto.conf").write_text(f"{text}user root\n")
    (folder / "web-token").write_text(TOKEN)
    (folder / "devices").mkdir()
    targets = [{"targets": [f"127.0.0.1:{device}"]}]
    (folder / "devices" / "devices.yml").write_text(yaml.safe_dump(targets))
    changes = {"/etc/prometheus": folder, "15s": "500ms"}
    (folder / "prometheus.yml").write_text(config("prometheus.yml", **changes))
    state = f"mqtt://fleet:PASSWORD@127.0.0.1:{broker}/edgenn/{{device}}/state"
    model = FLEET.parents[1] / "tests" / "assets" / "tiny-detect.edgenn"
    commands = (
        [MOSQUITTO, "-c", folder / "mosquitto.conf"],
        [sys.executable, "-m", "edgenn", "run", model, "--source", "test://?size=64x48&fps=30",
         "--web", f"127.0.0.1:{device}", "--out", folder / "log.jsonl", "--device-id", "lab",
         "--mqtt-state", state],
        [PROMETHEUS, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/db",
         f"--web.listen-address=127.0.0.1:{prometheus}"],
    )  # fmt: skip
    env = {**os.environ, "EDGENN_WEB_TOKEN": TOKEN}
    running = []
    try:
        for number, command in enumerate(commands):
            with (folder / f"{number}.log").open("wb") as log:
                running.append(subprocess.Popen(command, stdout=log, stderr=log, env=env))
        wait_for(lambda: ask(prometheus, 'up{job="edgenn"}') == ["1"], 60)
        yield broker, device, prometheus
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(20)


def ask(port, query):
    """Values of the series that Prometheus answers with; None where it does not answer."""
    address = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return [found["value"][1] for found in json.load(answer)["data"]["result"]]
    except urllib.error.HTTPError as error:
        if error.code == 503:  # it is still starting
            return None
        pytest.fail(f"{query}: {error.read().decode()}")
    except OSError:
        return None


def test_prometheus_gets_what_every_panel_of_the_dashboard_shows(server):
    *_, port = server
    dashboard = json.loads((FLEET / "grafana/dashboards/edgenn.json").read_text("utf-8"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            query = target["expr"].replace("$device", ".*")
            if any(name in query for name in MAY_BE_EMPTY):
                ask(port, query)  # it is understood at least
            else:
                wait_for(lambda query=query: ask(port, query), 20)
    assert ask(port, 'sum(up{job="edgenn"})') == ["1"]
    wait_for(lambda: float(ask(port, "edgenn_frames_total")[0]) > 100, 20)


def test_a_device_gives_its_numbers_to_nobody_without_the_token(server):
    _, port, _ = server
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10)


def test_the_broker_keeps_the_state_of_a_device_for_who_has_the_password(server):
    port, *_ = server
    heard, refused = [], []
    for password, kept in (("PASSWORD", heard), ("wrong", refused)):
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.username_pw_set("fleet", password)
        client.on_connect = lambda c, _, flags, reason, __: (
            refused.append(str(reason)) if reason.is_failure else c.subscribe("edgenn/#", 1)
        )
        client.on_message = lambda c, _, m: heard.append((m.topic, json.loads(m.payload), m.retain))
        client.connect("127.0.0.1", port)
        client.loop_start()
        wait_for(lambda kept=kept: kept, 20)
        client.loop_stop()
        client.disconnect()
    assert refused[0] == "Not authorized"
    topic, state, _ = heard[0]
    assert topic == "edgenn/lab/state"
    assert state["online"] is True

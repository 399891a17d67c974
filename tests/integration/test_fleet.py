"""The files of deploy/fleet fit each other and what a device really says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edgenn.runtime.health import SinkCounts
from edgenn.runtime.web.board import Board
from edgenn.runtime.web.metrics import render
from edgenn.types import Classification, Event, Result, Window

yaml = pytest.importorskip("yaml")
np = pytest.importorskip("numpy")
FLEET = Path(__file__).parents[2] / "deploy" / "fleet"


def read(name):
    return yaml.safe_load((FLEET / name).read_text("utf-8"))


@pytest.fixture(scope="module")
def metrics():
    """Name of each sample that a device gives, with its labels."""
    board = Board("person", "")
    board.health.sink("mqtt", SinkCounts()).latency.add(1.0)
    scores = Classification(np.array([1.0], np.float32), ("sit",))
    window = Window(np.zeros((1, 1), np.float32), 0, 1, 7, "wrist")
    result = Result(window, scores, (Event("sit", 0, 1, 0.9),), {"total": 1.0, "inference": 1.0}, 0)
    board.add(result)
    found = {}
    for name, labels in re.findall(r"^(edgenn_\w+)(?:\{(.*?)\})? ", render(board), re.M):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    found.setdefault("edgenn_temperature_celsius", {"zone"})  # where the machine has no zones
    return found


def test_every_query_is_of_a_metric_and_a_label_that_devices_have(metrics):
    dashboard = json.loads((FLEET / "grafana/dashboards/edgenn.json").read_text("utf-8"))
    queries = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    assert len(queries) > 10
    used = set()
    for query in queries:
        names = re.findall(r"\bedgenn_\w+", query)
        assert names or 'up{job="edgenn"}' in query
        for name in names:
            assert name in metrics, name
        for name, labels in re.findall(r"(edgenn_\w+)\{(.*?)\}", query):
            used.add(name)
            assert set(re.findall(r'(\w+)=~?"', labels)) <= metrics[name] | {"instance"}
        for labels in re.findall(r"by \((.*?)\)", query):
            known = set().union(*(metrics[name] for name in names)) | {"instance"}
            assert set(re.split(r",\s*", labels)) <= known
        assert query.count("(") == query.count(")")
    assert 'stage="total"' in "".join(queries)
    rest = {n for n in metrics if not n.endswith(("_count", "_sum"))} - used
    assert rest <= {"edgenn_gaps_total", "edgenn_bad_readings_total", "edgenn_carried_total"} | {
        "edgenn_sink_latency_seconds"
    }


def test_panels_lie_beside_each_other_and_have_numbers_of_their_own():
    panels = json.loads((FLEET / "grafana/dashboards/edgenn.json").read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_what_compose_mounts_is_there_or_a_secret():
    compose = read("docker-compose.yml")
    readme = (FLEET / "README.md").read_text("utf-8")
    mounts = [v for s in compose["services"].values() for v in s.get("volumes", [])]
    assert len(mounts) > 8
    named = set(compose["volumes"])
    files = [m.split(":")[0] for m in mounts] + [s["file"] for s in compose["secrets"].values()]
    for file in files:
        if file.startswith("./secrets/"):
            assert file.removeprefix("./") in readme, file
        else:
            assert file in named or (FLEET / file).exists(), file
    for service in compose["services"].values():
        assert re.search(r":\w*\d", service["image"]), "an image without a version"
        assert all(isinstance(port, str) for port in service["ports"])


def test_prometheus_and_grafana_find_each_other_and_the_devices():
    (job,) = read("prometheus.yml")["scrape_configs"]
    assert job["job_name"] == "edgenn"
    targets = {
        v.split(":")[1]: v.split(":")[0]
        for v in read("docker-compose.yml")["services"]["prometheus"]["volumes"]
    }
    (wanted,) = job["file_sd_configs"][0]["files"]
    folder, _, pattern = wanted.rpartition("/")
    # A folder, since a file that an editor has replaced is not seen through the mount of a file.
    assert (FLEET / targets[folder]).is_dir()
    groups = [g for p in (FLEET / targets[folder]).glob(pattern) for g in read(p)]
    assert groups
    assert job["authorization"]["credentials_file"] in targets
    assert all(":" in t for group in groups for t in group["targets"])
    (source,) = read("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    dashboard = json.loads((FLEET / "grafana/dashboards/edgenn.json").read_text("utf-8"))
    used = {panel["datasource"]["uid"] for panel in dashboard["panels"]}
    assert used == {source["uid"]}
    (provider,) = read("grafana/provisioning/dashboards/edgenn.yml")["providers"]
    mounts = read("docker-compose.yml")["services"]["grafana"]["volumes"]
    assert any(m.split(":")[1] == provider["options"]["path"] for m in mounts)

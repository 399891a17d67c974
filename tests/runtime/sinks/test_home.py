from __future__ import annotations

import json
import re

import jinja2
import numpy as np
import pytest

from edgenn.runtime.sinks._home import Home
from edgenn.runtime.sinks.jsonl import to_dict
from edgenn.types import Classification, Detections, Event, Frame, Result, Window

NAMES = ("person", "traffic light", "it's")
DETECTOR = Home("street", NAMES, detects=True)


def configs(home, topic="home/hall"):
    return {path: json.loads(text) for path, text in home.messages(topic)}


def rendered(config, result):
    """What Home Assistant makes of a message."""
    template = jinja2.Environment(autoescape=False).from_string(config["value_template"])
    return template.render(value_json=to_dict(result))


def seen(*ids):
    found = Detections(
        np.ones((len(ids), 4), np.float32), np.ones(len(ids), np.float32), np.array(ids, int), NAMES
    )
    return Result(Frame(np.zeros((4, 4, 3), np.uint8), 0.0, 0), found)


def test_topics_and_names_are_what_home_assistant_takes():
    found = configs(DETECTOR)
    assert len(found) == 6
    for path, config in found.items():
        assert re.fullmatch(r"homeassistant/(binary_)?sensor/[\w-]+/[\w-]+/config", path)
        assert config["availability_topic"] == "home/hall/status"
        assert config["state_topic"] == "home/hall"
        assert config["device"]["model"] == "street"
        assert config["device"]["identifiers"]
    assert len({config["unique_id"] for config in found.values()}) == 6
    other = configs(DETECTOR, "home/door")
    assert not {c["unique_id"] for c in other.values()} & {c["unique_id"] for c in found.values()}


@pytest.mark.parametrize(("i", "label"), list(enumerate(NAMES)))
def test_each_label_is_seen_and_counted(i, label):
    by_name = {config["name"]: config for config in configs(DETECTOR).values()}
    for ids, state, count in (((), "OFF", "0"), ((i, i), "ON", "2"), (((i + 1) % 3,), "OFF", "0")):
        assert rendered(by_name[f"{label} seen"], seen(*ids)) == state
        assert rendered(by_name[f"{label} count"], seen(*ids)) == count


def test_crossings_of_a_detector_are_events():
    crossings = ("door:in", "door:out")
    found = configs(Home("street", NAMES, detects=True, events=crossings))
    assert len(found) == 7
    ((path, config),) = ((p, c) for p, c in found.items() if c["name"] == "event")
    assert re.fullmatch(r"homeassistant/event/[\w-]+/event/config", path)
    assert config["event_types"] == list(crossings)
    crossed = Event("door:in", 0.0, 0.0, 0.9, 4, 2)
    made = rendered(config, Result(seen(0).item, seen(0).prediction, (crossed,)))
    assert json.loads(made) == {"event_type": "door:in", "score": 0.9}
    assert rendered(config, seen(0)) == ""


def test_a_gesture_is_an_event():
    home = Home("watch", ("wave", "stop"), detects=False, prefix="ha")
    ((path, config),) = configs(home).items()
    assert re.fullmatch(r"ha/event/[\w-]+/event/config", path)
    assert config["event_types"] == ["wave", "stop"]
    scores = Classification(np.array([1.0, 0.0], np.float32), ("wave", "stop"))
    window = Window(np.zeros((1, 1), np.float32), 0, 1)
    made = rendered(config, Result(window, scores, (Event("stop", 0, 1, 0.75),)))
    assert json.loads(made) == {"event_type": "stop", "score": 0.75}
    assert rendered(config, Result(window, scores)) == ""

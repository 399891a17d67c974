"""What Home Assistant is told, so that it knows a device's labels by itself.

Retained messages under ``homeassistant/COMPONENT/NODE/OBJECT/config``, as "MQTT Discovery"
of its documentation has it. Of a detector each label is a binary sensor, whether it is seen,
and a sensor, how many; of other models, and of lines and zones, there is one event entity for
all labels, which gets the last event of a message. All of them read the messages that are sent
anyway, and the status topic says who is there.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Home:
    """A device as Home Assistant gets to know it.

    Attributes:
        name: Of the model.
        labels: Of the model.
        detects: Whether it finds objects, rather than events.
        prefix: First part of the topics, as Home Assistant is set up.
        events: What happens to the objects of a detector, such as "door:in".
    """

    name: str
    labels: tuple[str, ...]
    detects: bool
    prefix: str = "homeassistant"
    events: tuple[str, ...] = ()

    def messages(self, topic: str) -> list[tuple[str, str]]:
        """Topics and texts of what is to be retained.

        Args:
            topic: Where the results go; it makes the device one of its own.
        """
        node = f"edgenn_{_safe(topic)}"
        shared: dict[str, Any] = {
            "availability_topic": f"{topic}/status",
            "device": {
                "identifiers": [node],
                "name": topic,
                "model": self.name,
                "manufacturer": "edgenn",
            },
            "origin": {"name": "edgenn"},
            "state_topic": topic,
        }
        if not self.detects:
            return [self._events(node, shared, self.labels)]
        found = [message for label in self.labels for message in self._label(node, label, shared)]
        return found + ([self._events(node, shared, self.events)] if self.events else [])

    def _label(self, node: str, label: str, shared: dict[str, Any]) -> list[tuple[str, str]]:
        # In Jinja a JSON string is a string, too.
        same = f"selectattr('label', 'equalto', {json.dumps(label, ensure_ascii=False)})"
        count = f"(value_json.detections | default([]) | {same} | list | count)"
        seen = {
            "name": f"{label} seen",
            "device_class": "occupancy",
            "value_template": f"{{{{ 'ON' if {count} > 0 else 'OFF' }}}}",
        }
        number = {
            "name": f"{label} count",
            "state_class": "measurement",
            "value_template": f"{{{{ {count} }}}}",
        }
        return [
            self._message("binary_sensor", node, f"{_safe(label)}_seen", {**shared, **seen}),
            self._message("sensor", node, f"{_safe(label)}_count", {**shared, **number}),
        ]

    def _events(
        self, node: str, shared: dict[str, Any], labels: tuple[str, ...]
    ) -> tuple[str, str]:
        # Without an event an empty text, which Home Assistant passes over.
        last = "{% set e = (value_json.events | default([]) | last) %}"
        text = "{{ {'event_type': e.label, 'score': e.score} | tojson if e else '' }}"
        events = {
            "name": "event",
            "event_types": list(labels),
            "value_template": last + text,
        }
        return self._message("event", node, "event", {**shared, **events})

    def _message(
        self, component: str, node: str, thing: str, config: dict[str, Any]
    ) -> tuple[str, str]:
        config = {"unique_id": f"{node}_{thing}", **config}
        text = json.dumps(config, ensure_ascii=False)
        return f"{self.prefix}/{component}/{node}/{thing}/config", text


def _safe(text: str) -> str:
    """Letters, digits, _ and -, all that such a topic may hold; different for different texts."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", text)
    return safe if safe == text else f"{safe}_{hashlib.sha256(text.encode()).hexdigest()[:6]}"

"""How a device is, over MQTT: one retained JSON message, anew every so often.

The topic always holds what is known of the device: version, bundle, serial and slot, uptime, rate,
latency, losses, temperature and level. The last will replaces it by ``{"online": false}``, so that
a device that is gone is seen as such. It has a connection of its own: a connection has one will,
and that of the results stays what it is.
"""

from __future__ import annotations

import json
import logging
import ssl
import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING

import edgenn
from edgenn.runtime.health import Health, Histogram
from edgenn.runtime.heat import Thermometer
from edgenn.runtime.sinks import Sink
from edgenn.types import Result

if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from edgenn.runtime.sinks.mqtt import Address

_log = logging.getLogger(__name__)
EVERY_S = 30.0


class Reporter(Sink):
    """Reports on the run that writes to it; never waits for the broker.

    Args:
        address: Broker and topic.
        device: Id of this device.
        about: Tells name, serial and slot of what runs.
        every_s: Seconds between two messages.
        tls: Certificates; None for those that the system trusts.
    """

    inline = True
    label = "mqtt-state"

    def __init__(
        self,
        address: Address,
        device: str,
        about: Callable[[], Mapping[str, object]],
        *,
        every_s: float = EVERY_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._address, self._device, self._about = address, device, about
        self._every_s = every_s
        self._health: Health | None = None
        self._heat = Thermometer()
        self._begun = self._then = monotonic()
        self._frames, self._latency = 0, Histogram()
        self._refused = False
        self._wake, self._closed = threading.Event(), threading.Event()
        self._linked = False
        self._client = self._connect(tls)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._work, name="mqtt-state", daemon=True)
        self._thread.start()

    def attach(self, health: Health) -> None:
        """The counters of the run."""
        self._health = health

    def write(self, result: Result) -> None:
        """Nothing: the counters say it."""

    def close(self) -> None:
        """Say that the device is offline, if there is a broker; may be called again."""
        if self._closed.is_set():
            return
        from edgenn.runtime.sinks.mqtt import let_go

        self._closed.set()
        self._wake.set()
        self._thread.join()
        if self._linked:
            gone = self._client.publish(self._address.topic, self._offline(), qos=1, retain=True)
            try:
                gone.wait_for_publish(1.0)
            except (RuntimeError, ValueError):  # the connection broke just now: the will says it
                _log.debug("%s: left without a word", self._address.name)
        let_go(self._client)

    def _connect(self, tls: ssl.SSLContext | None) -> Client:
        from edgenn.runtime.sinks.mqtt import new_client  # of the extra mqtt

        at = self._address
        client = new_client(at, tls)
        client.will_set(at.topic, self._offline(), qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.connect_async(at.host, at.port, keepalive=30)
        return client

    def _on_connect(
        self,
        client: Client,
        data: object,
        flags: ConnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        del client, data, flags, properties
        if code.is_failure:
            if not self._refused:
                _log.warning("%s: the broker refuses: %s", self._address.name, code)
            self._refused = True
            return
        self._refused, self._linked = False, True
        self._wake.set()

    def _on_disconnect(self, *_: object) -> None:
        self._linked = False

    def _work(self) -> None:
        while not self._closed.is_set():
            self._wake.wait(self._every_s)
            self._wake.clear()
            # Without a broker a message would wait and then be out of date.
            if self._linked and not self._closed.is_set():
                self._client.publish(self._address.topic, self._message(), qos=1, retain=True)

    def _offline(self) -> str:
        return json.dumps({"online": False, "device": self._device, "edgenn": edgenn.__version__})

    def _message(self) -> str:
        now, health = monotonic(), self._health or Health()
        latency = health.latency("total")
        frames, seconds = health.frames - self._frames, now - self._then
        said = {
            "online": True,
            "device": self._device,
            "edgenn": edgenn.__version__,
            **self._about(),
            "uptime_s": round(now - self._begun, 1),
            "frames": health.frames,
            "fps": round(frames / seconds, 2) if seconds else 0.0,
            "p95_ms": round(latency.since(self._latency).percentile(95), 2),
            "dropped": health.dropped,
            "sinks_dropped": sum(sink.dropped for sink in list(health.sinks.values())),
            "reconnects": health.reconnects,
            "temperature": self._heat.read().celsius,
            "level": health.level,
            "reason": health.reason,
        }
        self._frames, self._then, self._latency = health.frames, now, latency
        return json.dumps(said)

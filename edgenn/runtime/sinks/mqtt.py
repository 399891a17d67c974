"""MQTT: one JSON message per result that says something, kept on disk until the broker has it.

The target is ``mqtt[s]://[user:password@]host[:port]/topic``; ``mqtts`` is TLS
with the certificates that the system trusts, or those of a file. A message has the form of a line
of `edgenn.runtime.sinks.jsonl`, and is sent where there are detections or
events. ``topic/status`` holds "online" or, also after a crash, "offline".

Messages have QoS 1: they arrive in order and at least once. Those that were on
their way when the connection broke may arrive twice, with the same "frame".
What the broker does not have yet waits in a file, also over a restart; when
that is full, the oldest quarter of it goes and is counted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import ssl
import threading
from collections import deque
from pathlib import Path
from time import monotonic
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edgenn.errors import SinkError, UsageError
from edgenn.runtime.sinks import Sink
from edgenn.runtime.sinks._home import Home
from edgenn.runtime.sinks._queued import Message, Queued
from edgenn.runtime.sinks._spool import Spool
from edgenn.runtime.sinks.jsonl import to_dict
from edgenn.types import Detections, Result

_log = logging.getLogger(__name__)
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_LIMIT = 32 << 20
_IN_FLIGHT = 20
_SYNC_S = 5.0
_CONNECT_S = 3.0
_SLOWEST_RETRY_S = 30


class Address(NamedTuple):
    """Where to, taken apart; ``name`` is what may be shown."""

    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None
    topic: str
    name: str


class MqttSink(Sink):
    """Never waits for the broker.

    Args:
        address: Broker and topic.
        buffer: Folder of what the broker does not have yet.
        limit: Most bytes that may wait there.
        drain_s: Seconds that `close` gives to what still waits, where there is a broker.
        tls: Certificates; None where the connection is open.
        home: What Home Assistant is told; None does not tell it.

    Attributes:
        queue: The way to the disk, with its counters.

    Raises:
        SinkError: The folder cannot be written, or another process delivers from it.
    """

    inline = True

    def __init__(
        self,
        address: Address,
        buffer: Path,
        *,
        limit: int = _LIMIT,
        drain_s: float = 5.0,
        tls: ssl.SSLContext | None = None,
        home: Home | None = None,
    ) -> None:
        self._address, self._tls, self._home = address, tls, home
        key = hashlib.sha256(address.name.encode()).hexdigest()[:12]
        self._spool = Spool(buffer / f"mqtt-{key}.spool", limit)
        self._found = False
        self._told = 0  # dropped lines that were logged
        self._synced = monotonic()
        self._on_way: deque[int] = deque()
        self._arrived: set[int] = set()
        # Callbacks run under paho's locks, so they only leave word for the worker.
        self._word: deque[int | None] = deque()
        self._linked = False
        self._online = False
        self._repeats = False
        self._away = False
        self._client = self._connect()
        self.queue: Queued[Message] = Queued(
            address.name, self._keep, limit=1024, drain_s=drain_s, step=self._send
        )
        self.counts = self.queue.counts
        self._closed = False
        self._client.loop_start()

    def write(self, result: Result) -> None:
        """Hand over one result, unless there is nothing in it."""
        found = isinstance(result.prediction, Detections) and len(result.prediction) > 0
        # Home Assistant has to hear when a thing is gone.
        left, self._found = self._found and not found and self._home is not None, found
        if found or left or result.events:
            text = json.dumps(to_dict(result), ensure_ascii=False, separators=(",", ":"))
            self.queue.put(Message(text.encode(), result.captured))

    def close(self) -> None:
        """Send what waits, if there is a broker, say "offline" and leave the rest on disk."""
        if self._closed:
            return
        self._closed = True
        self.queue.close()
        if self._linked:
            try:
                self._say("offline").wait_for_publish(1.0)
            except (RuntimeError, ValueError):  # the connection broke just now: the will says it
                _log.debug("%s: left without a word", self._address.name)
        let_go(self._client)
        if not self._spool.is_empty():
            self._spool.sync()
            _log.warning(
                "%s: what the broker does not have yet is kept for the next run",
                self._address.name,
            )
        self._spool.close()

    def _connect(self) -> Client:
        at = self._address
        client = new_client(at, self._tls)
        client.max_inflight_messages_set(2 * _IN_FLIGHT)
        client.will_set(f"{at.topic}/status", "offline", qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.connect_async(at.host, at.port, keepalive=30)
        return client

    def _say(self, status: str) -> MQTTMessageInfo:
        return self._client.publish(f"{self._address.topic}/status", status, qos=1, retain=True)

    def _announcements(self) -> list[tuple[str, str]]:
        return [] if self._home is None else self._home.messages(self._address.topic)

    # In the thread of paho.

    def _on_connect(
        self,
        client: Client,
        data: object,
        flags: ConnectFlags,
        code: ReasonCode,
        p: Properties | None,
    ) -> None:
        del client, data, flags, p
        if code.is_failure:
            self._lost(f"the broker refuses: {code}")
            return
        _log.info("%s: connected", self._address.name)
        for topic, text in self._announcements():
            self._client.publish(topic, text, qos=1, retain=True)
        self._say("online")
        self._linked, self._away = True, False
        self._word.append(None)
        self.queue.wake()

    def _on_connect_fail(self, client: Client, data: object) -> None:
        del client, data
        self._lost("cannot connect")

    def _on_disconnect(
        self,
        client: Client,
        data: object,
        flags: DisconnectFlags,
        code: ReasonCode,
        p: Properties | None,
    ) -> None:
        del client, data, flags, p
        self._linked = self._online = False
        if code.is_failure:
            self._lost("the connection broke")

    def _lost(self, why: str) -> None:
        if not self._away:
            self._away = True
            _log.warning("%s: %s; results wait on disk, it is tried again", self._address.name, why)
        self.queue.wake()

    def _on_publish(
        self, client: Client, data: object, mid: int, code: ReasonCode, p: Properties
    ) -> None:
        del client, data, code, p
        self._word.append(mid)
        self.queue.wake()

    # In the worker.

    def _keep(self, message: Message) -> None:
        self._spool.append(message.body)
        if self._spool.dropped > self._told:
            self.counts.dropped += self._spool.dropped - self._told
            _log.warning(
                "%s: the buffer on disk is full, %d results dropped",
                self._address.name,
                self._spool.dropped - self._told,
            )
            self._told = self._spool.dropped

    def _send(self) -> bool:
        while self._word:
            mid = self._word.popleft()
            if mid is None:
                # Paho repeats what was on its way; new messages must not overtake that.
                self._online, self._repeats = self._linked, bool(self._on_way)
            elif mid in self._on_way:  # and not of the status topic
                self._arrived.add(mid)
        while self._on_way and self._on_way[0] in self._arrived:
            self._arrived.discard(self._on_way.popleft())
            self._spool.done()
        if not self._on_way:
            self._repeats = False
        if self._online and not self._repeats:
            self._publish()
        elif not self._spool.is_empty() and monotonic() - self._synced > _SYNC_S:
            self._spool.sync()
            self._synced = monotonic()
        return not self._spool.is_empty() and not self._away

    def _publish(self) -> None:
        while self._online and len(self._on_way) < _IN_FLIGHT:
            line = self._spool.next()
            if line is None:
                return
            self._on_way.append(self._client.publish(self._address.topic, line, qos=1).mid)


def open_sink(
    target: str,
    fps: float = 0.0,
    *,
    buffer: str | None = None,
    ca: str | None = None,
    cert: str | None = None,
    key: str | None = None,
    home: Home | None = None,
) -> MqttSink:
    """Start delivering to a broker, which need not be there yet.

    Args:
        target: ``mqtt[s]://[user:password@]host[:port]/topic``.
        fps: Not used.
        buffer: Folder of what the broker does not have yet; ``edgenn`` in the
            XDG state folder where it is None.
        ca: File of certificates to trust, beside those that the system trusts.
        cert: File of the certificate that this device shows.
        key: File of its private key, without a password.
        home: What Home Assistant is told; None does not tell it.

    Raises:
        UsageError: The target is no such address, or a certificate cannot be used.
        SinkError: The folder cannot be written, or another process delivers from it.
    """
    del fps
    address = parse(target)
    tls = tls_context(ca, cert, key) if address.tls else None
    if not address.tls and (ca or cert or key):
        raise UsageError("--mqtt-ca, --mqtt-cert and --mqtt-key need an address with mqtts://")
    folder = Path(buffer) if buffer else _state_folder()
    return MqttSink(address, folder, tls=tls, home=home)


def new_client(at: Address, tls: ssl.SSLContext | None) -> Client:
    """A client for a broker that comes and goes, not yet connected.

    Args:
        at: The broker.
        tls: Certificates; None for those that the system trusts.
    """
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect_timeout = _CONNECT_S
    client.reconnect_delay_set(1, _SLOWEST_RETRY_S)
    if at.user is not None:
        client.username_pw_set(at.user, at.password)
    if at.tls:
        client.tls_set_context(tls or ssl.create_default_context())
    return client


def let_go(client: Client) -> None:
    """Disconnect; waits a few seconds at most for the thread of paho."""
    client.disconnect()
    # A host name that nobody resolves would hold it up for long.
    stop = threading.Thread(target=client.loop_stop, daemon=True)
    stop.start()
    stop.join(_CONNECT_S)


def tls_context(ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    """What the broker is trusted by, and this device is known by; files as for `open_sink`.

    Raises:
        UsageError: A certificate cannot be used.
    """
    if (cert is None) != (key is None):
        raise UsageError("--mqtt-cert and --mqtt-key need each other")
    context = ssl.create_default_context()
    try:
        if ca is not None:
            context.load_verify_locations(ca)
        if cert is not None:
            # A password would be asked for at the terminal, where nobody sits.
            context.load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:  # also ssl.SSLError
        named = ", ".join(filter(None, (ca, cert, key)))
        raise UsageError(f"the certificates in {named} cannot be used: {error}") from error
    return context


def parse(target: str) -> Address:
    """Take an address apart.

    Raises:
        UsageError: It is none; the message does not repeat it, as it may hold a password.
    """
    try:
        parts = urlsplit(target)
        port = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:
        parts, port = urlsplit(""), None
    topic = unquote(parts.path[1:])
    odd = parts.query or parts.fragment or set("+#\0") & set(topic) or topic.endswith("/")
    if parts.scheme not in _PORTS or not parts.hostname or not topic or odd:
        raise UsageError(
            "--mqtt wants mqtt[s]://[user:password@]host[:port]/topic, and a topic without + and #"
        )
    port = port or _PORTS[parts.scheme]
    return Address(
        host=parts.hostname,
        port=port,
        tls=parts.scheme == "mqtts",
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        topic=topic,
        name=f"{parts.scheme}://{parts.hostname}:{port}/{topic}",
    )


def _state_folder() -> Path:
    base = os.environ.get("XDG_STATE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".local" / "state") / "edgenn"
    except RuntimeError as error:
        raise SinkError(
            "cannot keep results for the broker: this user has no home folder; name a folder with "
            "--mqtt-buffer"
        ) from error

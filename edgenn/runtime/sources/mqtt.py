"""A topic of an MQTT broker, each message with one or more lines.

``mqtt[s]://[user:password@]host[:port]/topic``; ``mqtts`` is TLS with the certificates
that the system trusts; ``?columns=time_ms,ax,ay`` names the columns. The lines are
described in `edgenn.runtime.sources._lines`. Heeds ``channels`` and ``rate``.
"""

from __future__ import annotations

import re
from time import monotonic
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edgenn.errors import SourceError
from edgenn.runtime.sources import Kind, Options
from edgenn.runtime.sources._lines import Lines
from edgenn.runtime.sources._settings import Settings
from edgenn.runtime.sources._text import POLL_S, TextSource

KIND: Kind = "window"
EXAMPLE = "--sensor mqtt://user:password@broker.example/wrist"

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_CONNECT_S = 5.0


class Mqtt(TextSource):
    """A subscription; a connection that is lost is a failure."""

    def __init__(self, name: str, options: Options) -> None:
        settings = Settings(name, "mqtt", {"columns": ""})
        url = settings.rest if "://" in settings.rest else f"mqtt:{settings.rest}"
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            parts, port = urlsplit(""), 0
        self._topic = unquote(parts.path[1:])
        if not parts.hostname or not port or not self._topic or set("+#\0") & set(self._topic):
            raise SourceError(
                f"there is no broker and topic in {re.sub('//.*@', '//', url)}; write "
                "mqtt://host/topic, with a topic without + and #"
            )
        shown = f"{parts.scheme}://{parts.hostname}:{port}/{self._topic}"
        super().__init__(shown, options, Lines(shown, options, columns=settings.names("columns")))
        self._came: list[bytes] = []
        self._ready, self._refused = False, ""
        self._client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        self._client.connect_timeout = _CONNECT_S
        if parts.username:
            password = unquote(parts.password) if parts.password else None
            self._client.username_pw_set(unquote(parts.username), password)
        if parts.scheme == "mqtts":
            self._client.tls_set()
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._connect(parts.hostname, port)

    def _connect(self, host: str, port: int) -> None:
        until = monotonic() + 2 * _CONNECT_S
        try:
            self._client.connect(host, port, keepalive=30)
            while not self._ready and not self._refused and monotonic() < until:
                self._step()
        except (OSError, SourceError) as error:
            self._client.disconnect()
            why = self._refused or getattr(error, "strerror", None) or error
            raise SourceError(f"{self.name} cannot be reached: {why}") from error
        if not self._ready:
            self._client.disconnect()
            raise SourceError(f"{self.name}: {self._refused or 'the broker does not answer'}")

    def _step(self) -> None:
        # Everything runs in the thread that reads; paho needs none of its own.
        code = self._client.loop(POLL_S)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise SourceError(f"{self.name}: the connection broke ({code.name})")

    def _on_connect(
        self,
        client: Client,
        data: object,
        flags: ConnectFlags,
        code: ReasonCode,
        p: Properties | None,
    ) -> None:
        del data, flags, p
        if code.is_failure:
            self._refused = f"the broker refuses: {code}"
        else:
            client.subscribe(self._topic, 0)

    def _on_disconnect(
        self,
        client: Client,
        data: object,
        flags: DisconnectFlags,
        code: ReasonCode,
        p: Properties | None,
    ) -> None:
        del client, data, flags, p
        self._refused = self._refused or f"the connection broke: {code}"

    def _on_subscribe(
        self, client: Client, data: object, mid: int, codes: list[ReasonCode], p: Properties | None
    ) -> None:
        del client, data, mid, p
        self._ready = not codes[0].is_failure
        self._refused = "" if self._ready else f"the broker refuses the topic: {codes[0]}"

    def _on_message(self, client: Client, data: object, message: MQTTMessage) -> None:
        del client, data
        self._came.append(bytes(message.payload) + b"\n")

    def _take(self) -> bytes:
        if not self._came:
            self._step()
        came, self._came = self._came, []
        return b"".join(came)

    def _release(self) -> None:
        self._client.disconnect()


def open_source(name: str, options: Options) -> Mqtt:
    """Connect and subscribe.

    Raises:
        SourceError: It is no address, nobody answers, or the broker refuses. The message
            holds no password.
    """
    return Mqtt(name, options)

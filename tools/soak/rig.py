"""What surrounds the program under test: camera, webhook server, broker, samples of /proc."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from time import monotonic, sleep

import cv2
import numpy as np
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

RATE = 20
CELLS = 64  # places of the square, one after the other, for 4 frames each
TOPIC = "soak/results"
MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class _Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class Camera:
    """An MJPEG camera that can stall, go away and send rubbish; a red square moves in it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/camera.mjpg"
        self.flows, self.corrupt, self.sent = threading.Event(), False, 0
        self.flows.set()
        self._rng = np.random.default_rng(0)
        self._server: _Quiet | None = None
        self._connections: list[socket.socket] = []
        self.start()

    def start(self) -> None:
        """Listen."""
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera._connections.append(self.connection)
                with contextlib.suppress(OSError):
                    self.send_response(200)
                    self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=p")
                    self.end_headers()
                    while True:
                        camera.flows.wait()
                        data = camera.picture()
                        head = f"--p\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}"
                        self.wfile.write(head.encode() + b"\r\n\r\n" + data + b"\r\n")
                        sleep(1 / RATE)
                self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Break every connection and refuse new ones."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def picture(self) -> bytes:
        """The next frame; damaged or of another size while ``corrupt``."""
        self.sent += 1
        odd = self.corrupt and self.sent % 3 == 0
        image = np.zeros((64, 128 if odd else 64, 3), np.uint8)
        y, x = (8 * part for part in divmod(self.sent // 4 % CELLS, 8))
        # It goes away for two seconds of five, so that the webhook has something to tell.
        if self.sent // RATE % 5 < 3:
            image[y : y + 8, x : x + 8] = (0, 0, 255)
        image = cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
        data = bytearray(cv2.imencode(".jpg", image)[1].tobytes())
        if self.corrupt and self.sent % 3 == 1:
            for at in self._rng.integers(20, len(data), 12):
                data[at] = int(self._rng.integers(256))
        return bytes(data)


class Webhook:
    """Takes POSTs, after ``delay`` seconds."""

    def __init__(self) -> None:
        self.delay, self.count = 0.0, 0
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                hook.count += 1
                sleep(hook.delay)
                with contextlib.suppress(OSError):
                    self.send_response(204)
                    self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()


class Broker:
    """A mosquitto that can be killed and started again, and a client that keeps what it says."""

    def __init__(self, folder: Path) -> None:
        self.port, self.frames = free_port(), []  # type: tuple[int, list[int]]
        self.url = f"mqtt://127.0.0.1:{self.port}/{TOPIC}"
        # It keeps the listener's subscription over a kill, so that nothing passes it by.
        lines = (f"listener {self.port} 127.0.0.1", "allow_anonymous true", "user root")
        lines += ("persistence true", f"persistence_location {folder}/", "autosave_interval 1")
        lines += ("autosave_on_changes true", "max_queued_messages 0")
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.start()
        self._client = Client(CallbackAPIVersion.VERSION2, "soak", clean_session=False)
        self._client.on_connect = lambda client, *_: client.subscribe(TOPIC, 1)
        self._client.on_message = self._take
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        if MOSQUITTO is None:
            raise SystemExit("soak needs mosquitto: apt install mosquitto")
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", self._config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = monotonic() + 10
        while monotonic() < until:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            sleep(0.05)
        raise SystemExit("mosquitto does not start")

    def kill(self) -> None:
        """As a power cut does it."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End both."""
        self._client.disconnect()
        self._client.loop_stop()
        self.kill()

    def _take(self, client: Client, data: object, message: MQTTMessage) -> None:
        del client, data
        self.frames.append(json.loads(message.payload)["frame"])


def cell_of(box: list[float]) -> int:
    """Where the square is, from its box in pixels of the frame."""
    column, row = (int((low + high) / 2 // 32) for low, high in zip(box[:2], box[2:], strict=True))
    return 8 * row + column


def sample(pid: int) -> dict[str, float]:
    """MB of memory, threads, open descriptors and CPU seconds of a process."""
    proc = Path("/proc") / str(pid)
    rows = dict(r.split(":", 1) for r in (proc / "status").read_text().splitlines() if ":" in r)
    pss = (proc / "smaps_rollup").read_text().partition("\nPss:")[2].split()[0]
    times = (proc / "stat").read_text().rpartition(")")[2].split()
    return {
        "anon_mb": int(rows["RssAnon"].split()[0]) / 1024,
        "rss_mb": int(rows["VmRSS"].split()[0]) / 1024,
        "pss_mb": int(pss) / 1024,
        "threads": int(rows["Threads"]),
        "fds": len(os.listdir(proc / "fd")),  # noqa: PTH208  names are enough
        "cpu_s": (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK"),
    }

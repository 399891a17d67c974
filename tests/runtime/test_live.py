"""Live sources: the newest frame only, and opened again when they fail.

The streams are real ones: multipart JPEG over HTTP from a server in this process, read by
OpenCV as a network camera is.
"""

from __future__ import annotations

import contextlib
import http.server
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from time import monotonic, sleep

import cv2
import numpy as np
import pytest

import edgenn
from edgenn import Pipeline, Samples
from edgenn.errors import SourceError
from edgenn.runtime import live
from edgenn.runtime.live import Live
from edgenn.runtime.pipeline import open_for
from edgenn.runtime.sources import Options, Source, open_source
from edgenn.types import Frame

RATE = 50
BITS = 12


def draw(number):
    """A picture that carries its number as black and white squares."""
    bits = [number >> i & 1 for i in range(BITS)]
    row = np.repeat(np.array(bits, np.uint8) * 255, 16)
    return np.repeat(np.tile(row, (64, 1))[..., None], 3, 2)


def number(image):
    bits = image[32, 8::16, 1] > 127
    return int(sum(1 << i for i, bit in enumerate(bits[:BITS]) if bit))


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends pictures without end, as network cameras do."""

    def do_GET(self):
        server = self.server
        server.connections.append(self.connection)
        with contextlib.suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
            self.end_headers()
            while not server.is_killed.is_set():
                server.flows.wait()
                n = int((monotonic() - server.start) * RATE)
                server.sent[n] = monotonic()
                data = cv2.imencode(".jpg", draw(n))[1].tobytes()
                head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                sleep(max(0.0, server.start + (n + 1) / RATE - monotonic()))
        self.close_connection = True

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    """A network camera that can be killed, restarted and stalled."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port=0, start=None):
        super().__init__(("127.0.0.1", port), Handler)
        self.start = start or monotonic()
        self.sent, self.connections = {}, []
        self.is_killed, self.flows = threading.Event(), threading.Event()
        self.flows.set()
        self.url = f"http://127.0.0.1:{self.server_port}/camera.mjpg"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, *args):
        pass

    def kill(self):
        self.is_killed.set()
        self.flows.set()
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def server():
    servers = [Server()]
    yield servers
    for server in servers:
        server.kill()


def test_x(server):
    t = monotonic()
    s = open_source(server[0].url)
    print("opened", monotonic() - t, s.fps, s.live)
    for f in itertools.islice(s, 150):
        n = number(f.image)
        print(f.index, n, f.time - server[0].sent.get(n, 0))

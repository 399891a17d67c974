"""A web server that hands out updates and may misbehave, and releases for it."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import re
import shutil
import threading

import pytest

from edgenn.bundle.signing import new_key, sign
from edgenn.bundle.store import open_bundle, replace_manifest
from edgenn.bundle.trust import Policy, read_public
from edgenn.runtime.update.publish import publish


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder with ETag and Range; ``odd`` has functions for paths that misbehave."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.odd, self.asked = folder, {}, []
        self.base = f"http://127.0.0.1:{self.server_port}/"
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def index(self):
        return self.base + "index.json"

    def close(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """Clients go away in the middle, which is what is tested."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        name = self.path.lstrip("/")
        self.server.asked.append((name, self.headers.get("Range")))
        if name in self.server.odd:
            self.close_connection = True
            return self.server.odd[name](self)
        file = self.server.folder / name
        if not file.is_file():
            return self.answer(404, b"")
        return self.hand_out(file.read_bytes())

    def hand_out(self, data, cut=None):
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.headers.get("If-Range") == etag else 0
        if start >= len(data) > 0 and start:
            return self.answer(416, b"")
        headers = {"ETag": etag}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return self.answer(206 if start else 200, data[start:], headers, cut)

    def answer(self, code, body, headers=(), cut=None):
        self.send_response(code)
        for key, value in {"Content-Length": len(body), **dict(headers)}.items():
            self.send_header(key, str(value))
        self.end_headers()
        self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True


class Maker:
    """Makes signed releases of tiny-detect, and publishes them."""

    def __init__(self, folder, tiny, served):
        self.folder, self.source, self.served = folder, tiny / "tiny-detect.edgenn", served
        self.key = folder / "fleet.key"
        new_key(self.key)
        self.public = read_public(folder / "fleet.key.pub")

    def bundle(self, serial, change=None, key=None, source=None):
        path = self.folder / f"release-{serial}.edgenn"
        shutil.copy(source or self.source, path)
        if change is not None:
            replace_manifest(path, change(open_bundle(path).manifest))
        sign(path, key or self.key, serial)
        return path

    def publish(
        self, serial, *, change=None, key=None, source=None, edit=None, fresh=False, **more
    ):
        """Publish a release at one stroke, as devices look all the time.

        Args:
            serial: Of the release.
            change: What is done to its manifest.
            key: It is signed with.
            source: What it is made of.
            edit: Fields of its line in the index that are to be others.
            fresh: Whether all other releases go.
            more: As `publish` takes it.
        """
        stage, served = self.folder / "stage", self.served
        stage.mkdir(exist_ok=True)
        index = stage / "index.json"
        if fresh:
            index.unlink(missing_ok=True)
        made = publish(self.bundle(serial, change, key, source), stage, **more)
        (stage / made.url).replace(served / made.url)
        document = json.loads(index.read_text())
        document["releases"][-1].update(edit or {})
        (served / "index.new").write_text(json.dumps(document))
        (served / "index.new").replace(served / "index.json")
        return made


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    with contextlib.closing(Server(folder)) as made:
        yield made


@pytest.fixture
def maker(tmp_path, tiny, server):
    return Maker(tmp_path, tiny, server.folder)


@pytest.fixture
def policy(maker):
    return Policy((maker.public,))


@pytest.fixture
def unproved(monkeypatch):
    """Leaves out the golden samples, for what has to do with the trial alone."""
    monkeypatch.setattr("edgenn.runtime.update.updater.prove", lambda *_: None)

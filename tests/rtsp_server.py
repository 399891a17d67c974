"""An RTSP server for tests, GStreamer's, whose frames tell their number and time.

The system's Python runs it (this very file), because PyGObject is a package of the system.
A frame carries two rows of 20 black and white squares: its number, and the milliseconds of
the monotonic clock at which it was made, both modulo 2**20. `number` and `age` read them.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time

BITS, SIDE = 20, 16
WIDTH, HEIGHT = BITS * SIDE, 240
PYTHON = "/usr/bin/python3"
MISSING = (
    "GStreamer's RTSP server is not installed: apt-get install python3-gi "
    "gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-ugly glib-networking openssl"
)


def _bits(image, row) -> int:
    squares = image[row, SIDE // 2 : WIDTH : SIDE, 1] > 127
    return sum(1 << i for i, bit in enumerate(squares.tolist()) if bit)


def number(image) -> int:
    """The frame's number."""
    return _bits(image, HEIGHT // 4)


def age(image) -> float:
    """Seconds since it was made, up to now."""
    made = _bits(image, 3 * HEIGHT // 4)
    return ((int(time.monotonic() * 1000) - made) % (1 << BITS)) / 1000


class Server:
    """A server in a process of its own, on 127.0.0.1.

    Args:
        port: 0 takes a free one.
        options: Further arguments of this file, as ``--user``.
    """

    def __init__(self, port: int = 0, *options: str) -> None:
        command = [PYTHON, __file__, "--port", str(port), *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline()
        assert line.startswith("ready "), "the RTSP server did not start"
        self.port = int(line.split()[1])
        scheme = "rtsps" if "--certificate" in options else "rtsp"
        self.url = f"{scheme}://127.0.0.1:{self.port}/camera"

    def kill(self) -> None:
        """As if its plug were pulled; may be called again."""
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


def is_there() -> bool:
    """Whether this machine can run the server."""
    try:
        command = [PYTHON, __file__, "--check"]
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False


def _serve(args) -> None:  # noqa: C901  one script for another interpreter
    import gi

    for name in ("Gst", "GstRtspServer", "GstRtsp"):
        gi.require_version(name, "1.0")
    from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer

    Gst.init(None)
    if args.check:
        sys.exit(not all(map(Gst.ElementFactory.find, ("appsrc", "x264enc", "rtph264pay"))))
    black, white = b"\x10" * SIDE, b"\xeb" * SIDE
    begun = time.monotonic()

    def row(value: int) -> bytes:
        return b"".join(white if value >> i & 1 else black for i in range(BITS))

    def picture() -> bytes:
        now = time.monotonic()
        rows = row(int((now - begun) * args.fps)) * (HEIGHT // 2)
        return rows + row(int(now * 1000)) * (HEIGHT // 2) + b"\x80" * (WIDTH * HEIGHT // 2)

    def configure(_, media) -> None:
        source = media.get_element().get_by_name_recurse_up("camera")

        def push() -> bool:
            data = Gst.Buffer.new_allocate(None, WIDTH * HEIGHT * 3 // 2, None)
            data.fill(0, picture())  # new_wrapped leaves the memory to Python
            return source.emit("push-buffer", data) == Gst.FlowReturn.OK

        GLib.timeout_add(1000 // args.fps, push)

    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f"( appsrc name=camera is-live=true do-timestamp=true format=time max-bytes=1000000 "
        f"caps=video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={args.fps}/1 "
        f"! x264enc tune=zerolatency speed-preset=ultrafast "
        f"sliced-threads=false threads=1 key-int-max={args.fps} bitrate=2000 "
        "! rtph264pay name=pay0 pt=96 config-interval=-1 )"
    )
    factory.set_shared(True)
    factory.connect("media-configure", configure)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(args.port))
    if args.user or args.certificate:
        auth = GstRtspServer.RTSPAuth()
        if args.certificate:
            auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(args.certificate))
        if args.user:
            token = GstRtspServer.RTSPToken()
            token.set_string("media.factory.role", "viewer")
            name, _, password = args.user.partition(":")
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(name, password, token)
            rights = GstRtspServer.RTSPPermissions()
            for right in ("access", "construct"):
                rights.add_permission_for_role("viewer", f"media.factory.{right}", True)
            factory.set_permissions(rights)
        server.set_auth(auth)
    server.get_mount_points().add_factory("/camera", factory)
    if not server.attach(None):
        sys.exit("the port is taken")
    print("ready", server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--user", help="NAME:PASSWORD that is asked for")
    parser.add_argument("--certificate", help="PEM file with certificate and key: speaks TLS")
    parser.add_argument("--check", action="store_true")
    _serve(parser.parse_args())


if __name__ == "__main__":
    _main()
else:
    import pytest

    @pytest.fixture
    def rtsp():
        """Starts servers, `Server`'s arguments, and ends them with the test."""
        if not (shutil.which("openssl") and is_there()):
            pytest.skip(MISSING)
        started = []

        def start(port: int = 0, *options: str) -> Server:
            started.append(Server(port, *options))
            return started[-1]

        yield start
        for server in started:
            server.kill()

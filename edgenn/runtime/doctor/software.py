"""Which packages can be imported, each tried in a process of its own, which may crash."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgenn.runtime.doctor import _probe

# What is imported for trial, and the distributions that may bring it.
_CORE = {
    "numpy": ("numpy",),
    "pydantic": ("pydantic",),
    "cv2": (
        "opencv-python-headless", "opencv-python", "opencv-contrib-python-headless",
        "opencv-contrib-python",
    ),
}  # fmt: skip
_ENGINES = {
    "ai_edge_litert.interpreter": ("ai-edge-litert",),
    "tflite_runtime.interpreter": ("tflite-runtime",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
}
_EXTRAS = {
    "paho.mqtt.client": ("paho-mqtt",),
    "gpiozero": ("gpiozero",),
    "lgpio": ("lgpio",),
    "serial": ("pyserial",),
    "smbus2": ("smbus2",),
    "cryptography.hazmat.primitives.asymmetric.ed25519": ("cryptography",),
    "picamera2": ("picamera2",),
}
_MODULES = {**_CORE, **_ENGINES, **_EXTRAS}
# Of GStreamer: the cameras of a Jetson, and those of libcamera.
_ELEMENTS = ("nvarguscamerasrc", "libcamerasrc")
_APT = "usr/lib/python3/dist-packages"
# A Raspberry Pi Zero takes long for the larger ones.
_PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True)
class Package:
    """One that is installed.

    Attributes:
        module: Its top module.
        distributions: What pip knows that may bring it; two overwrite each other.
        version: Of the module, or else of the distribution; empty if neither says.
        error: Why it cannot be imported; empty where it can.
        file: Where it was imported from.
    """

    module: str
    distributions: tuple[str, ...]
    version: str
    error: str = ""
    file: str = ""

    @property
    def works(self) -> bool:
        """Whether it can be imported."""
        return not self.error


@dataclass(frozen=True, slots=True)
class Software:
    """What this Python and GStreamer have.

    Attributes:
        packages: Those that are installed, of all that edgenn can use.
        providers: Execution providers of ONNX Runtime, as it was built.
        opencv_gstreamer: Whether OpenCV has GStreamer; edgenn needs none in it.
        opencv_gui: Whether OpenCV can open windows.
        gstreamer: Whether there is gst-launch-1.0, which runs edgenn's pipelines.
        elements: Of GStreamer's elements for cameras on a ribbon cable, those that it has.
        apt_picamera2: Whether apt installed picamera2, in reach of this Python or not.
    """

    packages: tuple[Package, ...] = ()
    providers: tuple[str, ...] = ()
    opencv_gstreamer: bool = False
    opencv_gui: bool = False
    gstreamer: bool = False
    elements: tuple[str, ...] = ()
    apt_picamera2: bool = False

    def get(self, module: str) -> Package | None:
        """A package by its top module; None if it is not installed."""
        return next((p for p in self.packages if p.module == module), None)

    def has(self, module: str) -> bool:
        """Whether it is installed and can be imported."""
        package = self.get(module)
        return package is not None and package.works

    @property
    def engines(self) -> tuple[Package, ...]:
        """Inference engines that are installed, working or not."""
        tops = [name.partition(".")[0] for name in _ENGINES]
        return tuple(p for p in self.packages if p.module in tops)


def look(root: Path = Path("/")) -> Software:
    """Import what is installed for trial; takes some seconds."""
    packages, told = [], {}
    for module, names in _MODULES.items():
        top = module.partition(".")[0]
        if importlib.util.find_spec(top) is None:
            continue
        said = told[top] = try_import(module)
        known = {name: _version(name) for name in names}
        versions = {name: version for name, version in known.items() if version}
        version = said.get("version") or next(iter(versions.values()), "")
        packages.append(
            Package(top, tuple(versions), version, said.get("error", ""), said.get("file", ""))
        )
    opencv = told.get("cv2", {})
    return Software(
        packages=tuple(packages),
        providers=tuple(told.get("onnxruntime", {}).get("providers", ())),
        opencv_gstreamer=bool(opencv.get("gstreamer")),
        opencv_gui=bool(opencv.get("gui")),
        gstreamer=shutil.which("gst-launch-1.0") is not None,
        elements=tuple(element for element in _ELEMENTS if _has_element(element)),
        apt_picamera2=(root / _APT / "picamera2").is_dir(),
    )


def try_import(module: str, patience_s: float = _PATIENCE_S) -> dict[str, Any]:
    """Import it in a process of its own.

    Returns:
        ``version``, ``file`` and what `_probe` adds; or ``error``, a sentence without its end.
    """
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, _probe.__file__, module],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"its import takes longer than {patience_s:g} s"}
    except OSError as error:
        return {"error": f"Python cannot be started for it: {error.strerror}"}
    if done.returncode < 0:
        return {"error": f"its import ends the process with {_signal(-done.returncode)}"}
    for line in done.stdout.splitlines():
        if line.startswith(_probe.MARK):
            said: dict[str, Any] = json.loads(line.removeprefix(_probe.MARK))
            return said
    # Of a traceback the last line says it.
    lines = done.stderr.strip().splitlines()
    return {"error": lines[-1] if lines else f"its import ends with code {done.returncode}"}


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _has_element(name: str) -> bool:
    program = shutil.which("gst-inspect-1.0")
    if program is None:
        return False
    try:
        done = subprocess.run(  # noqa: S603
            [program, "--exists", name], stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
            check=False,
        )  # fmt: skip
    except (subprocess.TimeoutExpired, OSError):
        return False
    return done.returncode == 0

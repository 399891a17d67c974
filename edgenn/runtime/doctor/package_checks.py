"""Packages that are missing, broken or at odds; see `edgenn.runtime.doctor.checks`."""

from __future__ import annotations

from collections.abc import Callable

from edgenn.plugins import EXTRAS
from edgenn.runtime.doctor.facts import Facts
from edgenn.runtime.doctor.problem import Problem
from edgenn.runtime.doctor.software import Package

_HEADLESS = "opencv-python-headless>=4.9,<4.12"


def core_broken(facts: Facts) -> Problem | None:
    """NumPy and pydantic are needed by everything."""
    for module in ("numpy", "pydantic"):
        package = facts.software.get(module)
        if package is None:
            return Problem("error", f"{module} is not installed", f"pip install {module}")
        if not package.works:
            return Problem("error", _broken(package), f"pip install --force-reinstall {module}")
    return None


def opencv_broken(facts: Facts) -> Problem | None:
    """The wheel with windows needs libraries that systems without a desktop lack."""
    package = facts.software.get("cv2")
    if package is None:
        return Problem("error", "OpenCV is not installed", f"pip install '{_HEADLESS}'")
    if package.works or not facts.software.has("numpy"):  # without that nothing else works
        return None
    if "libGL" in package.error or "libgthread" in package.error or "libglib" in package.error:
        fix = "sudo apt install libgl1 libglib2.0-0"
    elif not package.distributions:
        fix = f"pip install '{_HEADLESS}'"
    else:
        fix = f"pip uninstall -y {' '.join(package.distributions)} && pip install '{_HEADLESS}'"
    return Problem("error", _broken(package), fix)


def two_opencv_wheels(facts: Facts) -> Problem | None:
    """They are the same files: the later one wins, and removing one breaks the other.

    The extra `gui` installs both; in order they are as long as the one with windows won.
    """
    package = facts.software.get("cv2")
    if package is None or len(package.distributions) < 2:
        return None
    windows = facts.software.opencv_gui
    names = ", ".join(package.distributions)
    return Problem(
        "note" if windows else "warning",
        f"several OpenCV wheels overwrite each other: {names}; "
        + ("the one with windows has won" if windows else "--show has no window"),
        f"pip uninstall -y {' '.join(package.distributions)} && "
        "pip install 'opencv-python>=4.9,<4.12'",
    )


def two_onnx_runtimes(facts: Facts) -> Problem | None:
    """The same for ONNX Runtime: the plain one hides the GPU from the other."""
    package = facts.software.get("onnxruntime")
    if package is None or len(package.distributions) < 2:
        return None
    return Problem(
        "warning",
        "onnxruntime and onnxruntime-gpu overwrite each other",
        "pip uninstall -y onnxruntime && pip install --force-reinstall --no-deps onnxruntime-gpu",
    )


def no_engine(facts: Facts) -> Problem | None:
    """Without one no model runs."""
    engines = facts.software.engines
    if any(p.works for p in engines) or (engines and not facts.software.has("numpy")):
        return None
    system = facts.system
    if system.machine == "armv6l":
        fix = "none for this processor: neither LiteRT nor ONNX Runtime is built for ARMv6"
    elif system.bits == 32:
        fix = "pip install tflite-runtime 'numpy<2'   # Python 3.9 to 3.11"
    else:
        fix = "pip install 'edgenn[litert]'"
    return Problem("error", "no inference engine can be imported", fix)


def engine_broken(facts: Facts) -> Problem | None:
    """One that is installed and cannot be imported; the other may do."""
    if not facts.software.has("numpy"):
        return None
    for package in facts.software.engines:
        # NumPy 2 is the usual reason, with a message and a cure of its own.
        if not package.works and not _wants_old_numpy(facts, package):
            names = " ".join(package.distributions) or package.module
            return Problem("warning", _broken(package), f"pip install --force-reinstall {names}")
    return None


def numpy_for_tflite(facts: Facts) -> Problem | None:
    """tflite-runtime 2.14, the last one, was built for NumPy 1."""
    package = facts.software.get("tflite_runtime")
    if package is None or not _wants_old_numpy(facts, package):
        return None
    others = [p for p in facts.software.engines if p.works and p is not package]
    return Problem(
        "warning" if others else "error",
        f"tflite-runtime needs NumPy 1, and there is {_numpy(facts)}",
        "pip install 'numpy<2'",
    )


def numpy_for_picamera2(facts: Facts) -> Problem | None:
    """Debian 12's picamera2 was built for NumPy 1.24; in Debian 13 it is NumPy 2."""
    package = facts.software.get("picamera2")
    if package is None or package.works or "numpy" not in package.error.lower():
        return None
    return Problem(
        "error",
        f"apt's picamera2 does not go with NumPy {_numpy(facts)}: {package.error}",
        "pip install 'numpy<2'",
    )


def picamera2_missing(facts: Facts) -> Problem | None:
    """A Pi's ribbon cable is read through it."""
    software, system = facts.software, facts.system
    package = software.get("picamera2")
    if package is not None:
        if package.works or "numpy" in package.error.lower():
            return None
        fix = "sudo apt install --reinstall python3-picamera2 python3-libcamera"
        return Problem("warning", _broken(package), fix)
    if software.apt_picamera2 and not system.sees_system_packages:
        return Problem(
            "warning",
            "picamera2 is installed, but this virtual environment does not see it",
            "sed -i 's/^include-system-site-packages.*/include-system-site-packages = true/' "
            f"{system.venv}/pyvenv.cfg",
        )
    if system.kind != "pi" or "libcamerasrc" in software.elements:
        return None
    return Problem(
        "note",
        "there is no picamera2, which reads a camera on the ribbon cable",
        "sudo apt install python3-picamera2",
    )


def gstreamer_missing(facts: Facts) -> Problem | None:
    """A Jetson's ribbon cable is read through it, by a process beside edgenn."""
    software = facts.software
    if facts.system.kind != "jetson" or "nvarguscamerasrc" in software.elements:
        return None
    here = "" if software.opencv_gstreamer else ", and OpenCV's wheel has no GStreamer either"
    if not software.gstreamer:
        return Problem(
            "warning",
            f"csi:// and gst: need gst-launch-1.0, which is missing{here}",
            "sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-base nvidia-l4t-gstreamer",
        )
    return Problem(
        "warning",
        "csi:// needs GStreamer's nvarguscamerasrc, which is missing",
        "sudo apt install nvidia-l4t-gstreamer",
    )


def extra_broken(facts: Facts) -> Problem | None:
    """Installed, but not usable."""
    engines = facts.software.engines
    for package in facts.software.packages:
        if package.module in EXTRAS and package not in engines and not package.works:
            names = " ".join(package.distributions) or package.module
            return Problem("warning", _broken(package), f"pip install --force-reinstall {names}")
    return None


def gpio_without_lgpio(facts: Facts) -> Problem | None:
    """On a Pi 5 gpiozero drives the pins through lgpio only."""
    software = facts.software
    if facts.system.kind != "pi" or not software.has("gpiozero") or software.has("lgpio"):
        return None
    return Problem(
        "warning",
        "gpiozero finds no pins without lgpio, which is missing or broken",
        "pip install 'edgenn[gpio]'",
    )


def _broken(package: Package) -> str:
    return f"{package.module} is installed and cannot be imported: {package.error}"


def _numpy(facts: Facts) -> str:
    package = facts.software.get("numpy")
    return package.version if package is not None else ""


def _wants_old_numpy(facts: Facts, package: Package) -> bool:
    major = _numpy(facts).partition(".")[0]
    return package.module == "tflite_runtime" and not package.works and major not in ("", "1")


CHECKS: tuple[Callable[[Facts], Problem | None], ...] = (
    core_broken,
    opencv_broken,
    no_engine,
    numpy_for_tflite,
    numpy_for_picamera2,
    engine_broken,
    two_opencv_wheels,
    two_onnx_runtimes,
    picamera2_missing,
    gstreamer_missing,
    extra_broken,
    gpio_without_lgpio,
)

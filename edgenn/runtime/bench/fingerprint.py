"""What machine this is, as far as it matters to how fast a net runs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import edgenn
from edgenn.runtime.bench.report import Machine

# By their names in /proc/cpuinfo: vectors, dot products, matrices and small floats.
_FEATURES = (
    *("neon", "vfpv4", "asimd", "asimdhp", "asimddp", "asimdfhm", "i8mm", "bf16"),
    *("sve", "sve2", "svei8mm", "sme", "sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni"),
    *("avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"),
)
_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "opencv-python",
    "onnxruntime",
    "onnxruntime-gpu",
    "ai-edge-litert",
    "tflite-runtime",
)


def fingerprint(root: Path = Path("/")) -> Machine:
    """Look at the machine.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    info = _text(root / "proc/cpuinfo")
    clock = root / "sys/devices/system/cpu/cpu0/cpufreq"
    memory = _after(_text(root / "proc/meminfo"), "MemTotal").split()
    khz = _text(clock / "cpuinfo_max_freq")
    return Machine(
        board=_board(root),
        cpu=_cpu(info) or platform.processor() or platform.machine(),
        features=_features(info),
        cores=len(os.sched_getaffinity(0)),
        governor=_text(clock / "scaling_governor"),
        max_mhz=int(khz) // 1000 if khz.isdigit() else 0,
        memory_mb=int(memory[0]) // 1024 if memory else 0,
        kernel=f"{platform.release()} {platform.machine()}",
        versions={"python": platform.python_version(), "edgenn": edgenn.__version__, **_versions()},
    )


def _board(root: Path) -> str:
    tree = _text(root / "proc/device-tree/model") or _text(root / "sys/firmware/devicetree/model")
    return tree or _text(root / "sys/class/dmi/id/product_name")


def _cpu(info: str) -> str:
    """The processor's name; ARM kernels have numbers only."""
    if name := _after(info, "model name") or _after(info, "Model Name"):
        return name
    numbers = [_after(info, key) for key in ("CPU implementer", "CPU part", "CPU revision")]
    return f"ARM {' '.join(numbers)}" if all(numbers) else ""


def _features(info: str) -> tuple[str, ...]:
    found = _after(info, "flags") or _after(info, "Features")
    return tuple(sorted(set(_FEATURES) & set(found.split())))


def _versions() -> dict[str, str]:
    here = importlib.metadata.distributions()
    found = {str(d.metadata["Name"]).lower(): d.version for d in here}
    return {name: found[name] for name in _PACKAGES if name in found}


def _after(text: str, key: str) -> str:
    """The value in the first line ``key : value``."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip().strip("\0")
    except OSError:
        return ""

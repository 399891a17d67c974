"""The board, its processor, memory, heat and power, from /proc, /sys and /etc."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgenn.runtime import heat
from edgenn.runtime.devices import read
from edgenn.runtime.doctor.host import Host

Kind = Literal["pi", "jetson", "other"]

# What /proc/cpuinfo calls them, and what everybody else does.
_FEATURES = {
    "neon": "neon", "asimd": "neon", "asimdhp": "fp16", "asimddp": "dotprod", "i8mm": "i8mm",
    "bf16": "bf16", "sve": "sve", "avx": "avx", "avx2": "avx2", "fma": "fma", "f16c": "f16c",
    "avx512f": "avx512", "avx512_vnni": "avx512-vnni", "avx_vnni": "avx-vnni",
    "amx_int8": "amx-int8",
}  # fmt: skip
# Of ARM's own cores, implementer 0x41, in the order of age.
_CORES = {
    "0xb76": "ARM1176", "0xc07": "Cortex-A7", "0xd03": "Cortex-A53", "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72", "0xd05": "Cortex-A55", "0xd0b": "Cortex-A76", "0xd42": "Cortex-A78AE",
    "0xd83": "Neoverse-V3AE",
}  # fmt: skip
# Major version of Jetson Linux -> of JetPack.
_JETPACK = {32: "4", 34: "5", 35: "5", 36: "6", 38: "7", 39: "7"}
_LOW_NOW, _LOW_BEFORE = 1 << 0, 1 << 16


@dataclass(frozen=True, slots=True)
class System:
    """Board and software below edgenn.

    Attributes:
        board: What the device tree or the BIOS calls it.
        kind: "pi", "jetson" or "other".
        os: Name and version of the distribution.
        kernel: Its release.
        machine: As ``uname -m``.
        bits: Of Python, 32 or 64; the kernel may have more.
        python: Its version.
        venv: Folder of the virtual environment; empty without one.
        sees_system_packages: Whether Python sees what apt installed.
        l4t: Version of Jetson Linux; empty elsewhere.
        jetpack: First number of the JetPack that it belongs to; empty where that is not known.
    """

    board: str
    kind: Kind
    os: str
    kernel: str
    machine: str
    bits: int
    python: str
    venv: str
    sees_system_packages: bool
    l4t: str
    jetpack: str


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor: its name, cores, and the features that neural networks profit from."""

    name: str
    cores: int
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """In MiB."""

    total_mb: int
    available_mb: int
    swap_mb: int


@dataclass(frozen=True, slots=True)
class Power:
    """Heat and voltage.

    Attributes:
        celsius: By thermal zone.
        throttled: Why the device holds its clocks down or should; empty if it does not.
        undervoltage: Of a Raspberry Pi, "now", "since boot" or "no"; empty elsewhere.
    """

    celsius: dict[str, float]
    throttled: str
    undervoltage: str


def system(root: Path, host: Host) -> System:
    """Board, distribution, Python and JetPack."""
    name = read(root / "proc/device-tree/model").rstrip("\0")
    maker, product = (read(root / "sys/class/dmi/id" / f) for f in ("sys_vendor", "product_name"))
    l4t, jetpack = _l4t(read(root / "etc/nv_tegra_release"))
    kind: Kind = "other"
    if name.startswith("Raspberry Pi"):
        kind = "pi"
    elif l4t or "Jetson" in name:
        kind = "jetson"
    release = dict(
        line.split("=", 1) for line in read(root / "etc/os-release").splitlines() if "=" in line
    )
    settings = read(Path(host.venv) / "pyvenv.cfg") if host.venv else ""
    return System(
        board=name or f"{maker} {product}".strip() or "unknown",
        kind=kind,
        os=release.get("PRETTY_NAME", "unknown").strip('"'),
        kernel=host.kernel,
        machine=host.machine,
        bits=host.bits,
        python=host.python,
        venv=host.venv,
        sees_system_packages=not host.venv
        or bool(re.search(r"include-system-site-packages\s*=\s*true", settings)),
        l4t=l4t,
        jetpack=jetpack,
    )


def cpu(root: Path) -> Cpu:
    """The processor, from /proc/cpuinfo."""
    text = read(root / "proc/cpuinfo")
    fields = dict(re.findall(r"^([^:\n]+?)\s*: (.*)$", text, re.MULTILINE))
    words = f"{fields.get('flags', '')} {fields.get('Features', '')}".split()
    parts = re.findall(r"^CPU part\s*: (\S+)$", text, re.MULTILINE)
    arms = [_CORES.get(part, part) for part in dict.fromkeys(parts)]
    return Cpu(
        name=" and ".join(arms) or fields.get("model name") or "unknown",
        cores=len(re.findall(r"^processor\s*:", text, re.MULTILINE)),
        features=tuple(dict.fromkeys(_FEATURES[word] for word in words if word in _FEATURES)),
    )


def memory(root: Path) -> Memory:
    """From /proc/meminfo."""
    text = read(root / "proc/meminfo")
    sizes = {key: int(kib) >> 10 for key, kib in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
    return Memory(*(sizes.get(k, 0) for k in ("MemTotal", "MemAvailable", "SwapTotal")))


def power(root: Path) -> Power:
    """Temperatures, throttling, and the Raspberry Pi's flags."""
    thermal = root / heat.THERMAL.relative_to("/")
    flags = tuple(root / path.relative_to("/") for path in heat.FLAGS)
    said = next((read(path) for path in flags if path.exists()), "")
    low = ""
    if re.fullmatch(r"(0x)?[0-9a-fA-F]+", said):
        bits = int(said, 16)
        low = "now" if bits & _LOW_NOW else "since boot" if bits & _LOW_BEFORE else "no"
    return Power(
        heat.read_temperatures(thermal), heat.Thermometer(thermal, flags).read().reason, low
    )


def _l4t(text: str) -> tuple[str, str]:
    found = re.match(r"# R(\d+) \(release\), REVISION: ([\d.]+)", text)
    if found is None:
        return "", ""
    return f"{found[1]}.{found[2]}", _JETPACK.get(int(found[1]), "")

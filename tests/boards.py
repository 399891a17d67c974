"""Boards for tests: the files of /proc, /sys, /dev and /etc that such devices have."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgenn.runtime.doctor.host import Host
from edgenn.runtime.doctor.software import Package, Software

HEADLESS = "opencv-python-headless"
SOFTWARE = Software(
    packages=(
        Package("numpy", ("numpy",), "1.26.4"),
        Package("pydantic", ("pydantic",), "2.11.0"),
        Package("cv2", (HEADLESS,), "4.11.0"),
        Package("ai_edge_litert", ("ai-edge-litert",), "2.3.0"),
    ),
    gstreamer=True,
    elements=("nvarguscamerasrc", "libcamerasrc"),
)
FLAGS = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"


@dataclass(frozen=True)
class FakeHost(Host):
    """A machine whose nodes in /dev have groups, whatever files stand for them."""

    groups_of: tuple[tuple[str, str], ...] = ()
    read_only: bool = False
    free: int = 9000

    def may_use(self, path):
        if self.is_root or not path.is_relative_to(self.state.parents[4]):
            return True
        if path.is_dir():
            return not self.read_only
        return self.group_of(path) in self.groups

    def group_of(self, path):
        return next((g for start, g in self.groups_of if path.name.startswith(start)), "root")

    def free_mb(self, path):
        return self.free


@dataclass(frozen=True)
class Board:
    """A tree and its host."""

    root: object
    host: FakeHost

    def write(self, **files):
        """Files by path; returns the board."""
        return self.write_all(files)

    def write_all(self, files):
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return self

    def but(self, **changes):
        """The same board with another host."""
        return replace(self, host=replace(self.host, **changes))


def _board(root, files, **host):
    state = root / "home/pi/.local/state/edgenn"
    values = {
        "kernel": "6.12.34", "bits": 64, "venv": "", "user": "pi", "is_root": False,
        "now": 1.78e9, "installed": 1.77e9,
        "groups": ("dialout", "gpio", "i2c", "pi", "video"),
        "groups_of": (
            ("video", "video"), ("i2c", "i2c"), ("gpiochip", "gpio"), ("tty", "dialout"),
        ),
    }  # fmt: skip
    (root / "home/pi").mkdir(parents=True)
    return Board(root, FakeHost(state=state, **{**values, **host})).write_all(files)


def _release(name):
    return f'PRETTY_NAME="{name}"\nID=debian\n'


def _memory(total, available):
    return f"MemTotal: {total} kB\nMemFree: 1 kB\nMemAvailable: {available} kB\nSwapTotal: 0 kB\n"


def _arm(cores, part, features):
    block = f"processor\t: {{}}\nFeatures\t: {features}\nCPU part\t: {part}\n\n"
    return "".join(block.format(i) for i in range(cores))


def pi5(root):
    """64-bit Raspberry Pi OS 12, a USB camera, I2C, GPIO and a serial port."""
    files = {
        "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        "proc/cpuinfo": _arm(
            4, "0xd0b", "fp asimd evtstrm aes atomics fphp asimdhp cpuid lrcpc dcpop asimddp"
        ),
        "proc/meminfo": _memory(8259600, 7000000),
        "etc/os-release": _release("Debian GNU/Linux 12 (bookworm)"),
        "etc/group": "video:x:44:pi\ni2c:x:994:pi,anna\nempty:x:1:\n",
        "run/systemd/system/x": "",
        FLAGS: "0\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "51234\n",
        "sys/class/video4linux/video0/name": "HD Webcam\n",
        "sys/class/video4linux/video0/index": "0\n",
        "sys/class/video4linux/video1/name": "HD Webcam\n",
        "sys/class/video4linux/video1/index": "1\n",
        "sys/class/i2c-dev/i2c-1/name": "Synopsys DesignWare I2C adapter\n",
        "sys/bus/iio/devices/iio:device0/name": "lis3dh\n",
        "dev/video0": "", "dev/video1": "", "dev/i2c-1": "", "dev/gpiochip0": "",
        "dev/ttyACM0": "",
    }  # fmt: skip
    return _board(root, files, machine="aarch64", python="3.11.2")


def pi_zero(root):
    """The first Zero W, with its 32-bit ARMv6."""
    files = {
        "proc/device-tree/model": "Raspberry Pi Zero W Rev 1.1\0",
        "proc/cpuinfo": "model name\t: ARMv6-compatible processor rev 7 (v6l)\n"
        + _arm(1, "0xb76", "half thumb fastmult vfp edsp java tls"),
        "proc/meminfo": _memory(439000, 250000),
        "etc/os-release": _release("Raspbian GNU/Linux 12 (bookworm)"),
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    }
    return _board(root, files, machine="armv6l", bits=32, python="3.11.2")


def orin(root):
    """An Orin Nano with JetPack 6."""
    files = {
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
        "proc/cpuinfo": _arm(6, "0xd42", "fp asimd fphp asimdhp cpuid asimddp uscat ilrcpc"),
        "proc/meminfo": _memory(7800000, 5000000),
        "etc/os-release": _release("Ubuntu 22.04.5 LTS"),
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "47000\n",
        "sys/class/thermal/cooling_device0/type": "cpufreq-cpu0\n",
        "sys/class/thermal/cooling_device0/cur_state": "0\n",
    }
    return _board(root, files, machine="aarch64", python="3.10.12")


def x86(root):
    """A small PC."""
    files = {
        "sys/class/dmi/id/sys_vendor": "Intel(R) Client Systems\n",
        "sys/class/dmi/id/product_name": "NUC11ATKC4\n",
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: Intel(R) N100\n"
        "flags\t\t: fpu sse4_2 fma avx f16c avx2 avx_vnni\n",
        "proc/meminfo": _memory(16000000, 12000000),
        "etc/os-release": _release("Ubuntu 24.04 LTS"),
    }
    return _board(root, files, machine="x86_64", python="3.12.3", user="anna")

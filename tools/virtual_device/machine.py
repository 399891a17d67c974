"""One virtual device: qemu, its settings, what it says on the serial line."""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
QEMU = "qemu-system-x86_64"
# What a scenario has beside the camera and the bus: an init of its own, a disk.
SYSTEMD = ("service", "powercut", "update", "deploy")
DISK = ("powercut", "update")
# What needs wheels, as there is no network: those of the device install for Debian's Python.
WHEELS = ("deploy",)
_MOST_CUTS = 10
_ASK = "import sys, sysconfig; print(sys.base_prefix); print(sysconfig.get_path('purelib'))"
_SAID = ("PASS", "FAIL", "INFO", "BOOT")


class Device:
    """A scenario on a device that is started for it, and started again after each power cut."""

    def __init__(self, scenario: str, given: argparse.Namespace) -> None:
        self._given = given
        self._scenario = scenario
        self.out: Path = (given.out / scenario).resolve()
        self._ended = ""
        self._cut: float | None = None
        self._failed = self._passed = 0

    def run(self) -> dict[str, Any]:
        """Boot, wait for the end, at most for the timeout.

        Returns:
            passed, checks and failures by number, seconds by the wall clock, boots.
        """
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)
        if self._scenario in DISK:
            disk = self.out.with_suffix(".img")
            disk.unlink(missing_ok=True)
            with disk.open("wb") as file:
                file.truncate(512 << 20)
            subprocess.run(["mkfs.ext4", "-q", disk], check=True)
        if self._scenario in WHEELS:
            self._wheels()
        start = time.monotonic()
        boots = 0
        while not self._ended and boots <= _MOST_CUTS:
            self._cut = None
            boots += 1
            self._settings(boots)
            left = self._given.timeout - (time.monotonic() - start)
            if not self._boot(left):
                break
        seconds = round(time.monotonic() - start, 1)
        ok = self._ended == "0" and self._passed > 0 and not self._failed
        why = "" if ok else f", ended with {self._ended or 'nothing'}; see {self.out}/console.log"
        print(f"{self._scenario}: {self._passed} passed, {self._failed} failed, {seconds} s{why}")
        told = {"passed": ok, "checks": self._passed + self._failed, "failures": self._failed}
        if self._scenario in DISK and not self._given.keep:
            self.out.with_suffix(".img").unlink()
        return {**told, "seconds": seconds, "boots": boots}

    def _wheels(self) -> None:
        """The checkout and all that it needs on a device, in the folder that the device sees."""
        cargo, pip = self.out / "cargo", [self._given.python, "-m", "pip"]
        subprocess.run(
            [*pip, "wheel", "-q", "--no-deps", "-w", cargo, self._given.checkout.resolve()],
            check=True,
        )
        (wheel,) = cargo.glob("edgenn-*.whl")
        told = subprocess.run(
            ["/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=True,
        )
        only = ["--only-binary=:all:", f"--python-version={told.stdout.strip()}"]
        pins = ["-c", self._given.checkout / "constraints.txt"]
        subprocess.run(
            [*pip, "download", "-q", *only, *pins, "-d", cargo, f"{wheel}[onnx]"], check=True
        )

    def _settings(self, boots: int) -> None:
        """Shell variables that the device reads at first."""
        told = subprocess.run(
            [self._given.python, "-c", _ASK], capture_output=True, text=True, check=True
        )
        base, site = told.stdout.splitlines()
        values = {
            "BASE": base,
            "SITE": site,
            "PYTHON": self._given.python,
            "CHECKOUT": self._given.checkout.resolve(),
            "HERE": HERE,
            "SCENARIO": self._scenario,
            "INIT": "systemd" if self._scenario in SYSTEMD else "none",
            "ROUND": boots,
        }
        text = "".join(f"{key}='{value}'\n" for key, value in values.items())
        (self.out / "settings").write_text(text, encoding="utf-8")

    def _command(self) -> list[str]:
        kernel = self._given.kernel.resolve()
        line = "console=ttyS0 quiet loglevel=4 panic=-1 systemd.unified_cgroup_hierarchy=1"
        # Three installations, all of them in memory, want more.
        memory = "4096" if self._scenario in WHEELS else "2048"
        command = [QEMU, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", memory]
        command += ["-display", "none", "-monitor", "none", "-serial", "stdio", "-nic", "none"]
        command += ["-no-reboot", "-kernel", str(kernel / "vmlinuz")]
        command += ["-initrd", str(kernel / "initramfs"), "-append", line]
        shares = {"host": "/,readonly=on", "layer": f"{kernel}/layer,readonly=on", "out": self.out}
        for tag, path in shares.items():
            share = f"local,id={tag},security_model=none,multidevs=remap,path={path}"
            command += ["-fsdev", share, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        if self._scenario in DISK:
            disk = f"file={self.out.with_suffix('.img')},if=virtio,format=raw"
            command += ["-drive", disk]
        return command

    def _boot(self, timeout: float) -> bool:
        """True if the device ended by itself, or was cut off because it wished so."""
        command = self._command()
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as qemu:
            kill = threading.Timer(max(1.0, timeout), qemu.kill)
            kill.start()
            try:
                self._listen(qemu)
                qemu.wait()
            finally:
                qemu.kill()
                kill.cancel()
        late = qemu.returncode == -signal.SIGKILL and self._cut is None
        if late:
            print(f"FAIL {self._scenario}: no end after {self._given.timeout:g} s")
            self._failed += 1
        return bool(self._ended or self._cut is not None)

    def _listen(self, qemu: subprocess.Popen[bytes]) -> None:
        assert qemu.stdout is not None
        start = time.monotonic()
        with (self.out / "console.log").open("ab", buffering=0) as log:
            for raw in qemu.stdout:
                log.write(b"%6.1f " % (time.monotonic() - start) + raw.rstrip(b"\r\n") + b"\n")
                word, _, rest = raw.decode(errors="replace").strip().partition(" ")
                if word in _SAID:
                    print(f"{time.monotonic() - start:6.1f} {word} {rest}", flush=True)
                self._passed += word == "PASS"
                self._failed += word == "FAIL"
                if word == "CUT":
                    self._cut = float(rest)
                    threading.Timer(self._cut, qemu.kill).start()
                if word == "END":
                    self._ended = rest

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import boards
import pytest
from boards import HEADLESS, SOFTWARE

from edgenn.runtime.doctor import checks, examine, package_checks
from edgenn.runtime.doctor.software import Package

GUIDE = Path(__file__).parents[3] / "docs" / "doctor.md"
NUMPY_2 = Package("numpy", ("numpy",), "2.2.4")
TFLITE = Package("tflite_runtime", ("tflite-runtime",), "2.14.0", "SystemError: no")
ONNX = Package("onnxruntime", ("onnxruntime",), "1.23.2")


def found(board, software=SOFTWARE):
    return {p.id: p for p in examine(board.root, board.host, software).problems}


def software(*packages, without=(), **changes):
    """The usual packages, some of them as given or missing."""
    mine = {p.module: p for p in (*SOFTWARE.packages, *packages) if p.module not in without}
    return replace(SOFTWARE, packages=tuple(mine.values()), **changes)


@pytest.fixture
def pi(tmp_path):
    return boards.pi5(tmp_path)


@pytest.mark.parametrize("make", [boards.orin, boards.x86, boards.pi5])
def test_a_device_in_order_has_no_problems(tmp_path, make):
    picamera = Package("picamera2", (), "0.3.30")
    assert found(make(tmp_path), software(picamera)) == {}


def test_every_check_is_run_and_every_problem_is_in_the_guide():
    for module in (checks, package_checks):
        public = {
            function
            for name, function in vars(module).items()
            if inspect.isfunction(function)
            and function.__module__ == module.__name__
            and not name.startswith("_")
        }
        assert public - {checks.problems} == set(module.CHECKS)
        for check in module.CHECKS:
            assert f"`{check.__name__.replace('_', '-')}`" in GUIDE.read_text()


def test_a_zero_has_many_and_the_errors_come_first(tmp_path):
    board = boards.pi_zero(tmp_path)
    report = examine(board.root, board.host, software(without=("ai_edge_litert",)))
    severities = [p.severity for p in report.problems]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert {p.id for p in report.errors} == {"undervoltage", "no-engine"}
    assert "ARMv6" in next(p.fix for p in report.errors if p.id == "no-engine")
    assert {"bits-32", "throttled"} <= {p.id for p in report.problems}


def test_32_bits_on_a_64_bit_kernel_are_told_apart(pi):
    problem = found(pi.but(bits=32))["bits-32"]
    assert "64-bit kernel" in problem.message
    assert "arm_64bit=0" in problem.fix


def test_python_of_jetpack_5_is_too_old(tmp_path):
    problem = found(boards.orin(tmp_path).but(python="3.8.10"))["python-too-old"]
    assert problem.severity == "error"
    assert "--python 3.10" in problem.fix


@pytest.mark.parametrize(
    ("now", "installed", "wrong"),
    [
        (0.0, 0.0, True),  # 1970
        (1.6e9, 0.0, True),  # 2020, as a system's image may begin with
        (1.78e9, 1.79e9, True),  # before edgenn was installed
        (1.78e9, 1.78e9 + 3600, False),  # a clock that was set back a little
        (1.78e9, 1.77e9, False),
    ],
)
def test_a_clock_in_the_past_is_an_error(pi, now, installed, wrong):
    assert ("clock-wrong" in found(pi.but(now=now, installed=installed))) == wrong


def test_voltage_that_was_low_is_a_warning_only(pi):
    pi.write_all({boards.FLAGS: "50000\n"})
    assert found(pi)["undervoltage"].severity == "warning"
    pi.write_all({boards.FLAGS: "50005\n"})
    assert found(pi)["undervoltage"].severity == "error"


def test_room_on_the_disk_and_in_memory(pi):
    assert found(pi.but(free=400))["disk-full"].severity == "warning"
    assert found(pi.but(free=40))["disk-full"].severity == "error"
    pi.write_all({"proc/meminfo": "MemTotal: 400000 kB\nMemAvailable: 50000 kB\n"})
    assert "48 MB" in found(pi)["memory-low"].message


def test_limits_of_memory_that_the_kernel_does_not_heed(pi):
    assert "memory-unlimited" not in found(pi)  # without a unit it does not matter
    pi.write_all({"etc/systemd/system/edgenn@.service": ""})
    assert "cmdline.txt" in found(pi)["memory-unlimited"].fix
    pi.write_all({"sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n"})
    assert "memory-unlimited" not in found(pi)


def test_a_state_folder_that_cannot_be_written(pi):
    problem = found(pi.but(read_only=True))["state-not-writable"]
    assert problem.fix == f"sudo install -d -o pi {pi.host.state}"


def test_groups_that_are_missing_are_given_by_one_command(pi):
    problem = found(pi.but(groups=("pi", "video"), user="eva"))["group-missing"]
    assert "i2c://1/CHIP" in problem.message
    assert problem.fix.startswith("sudo usermod -aG dialout,gpio,i2c eva ")


def test_a_group_counts_from_the_next_login(pi):
    problem = found(pi.but(groups=("dialout", "gpio", "pi")))["group-missing"]
    assert "next login" in problem.message
    assert "usermod" not in problem.fix


def test_nodes_of_root_want_a_rule_and_root_wants_nothing(pi):
    pi = pi.but(groups_of=())
    problem = found(pi)["device-without-group"]
    assert "/dev/gpiochip0" in problem.message
    assert "99-edgenn.rules" in problem.fix
    assert "group-missing" not in found(pi)
    assert "device-without-group" not in found(pi.but(is_root=True))


def test_numpy_2_and_tflite_runtime(pi):
    alone = software(NUMPY_2, TFLITE, without=("ai_edge_litert",))
    problems = found(pi, alone)
    assert problems["numpy-for-tflite"].severity == "error"
    assert problems["numpy-for-tflite"].fix == "pip install 'numpy<2'"
    assert "engine-broken" not in problems
    beside = found(pi, software(NUMPY_2, TFLITE))
    assert beside["numpy-for-tflite"].severity == "warning"
    # For another reason it is just broken.
    assert "engine-broken" in found(pi, software(TFLITE))


def test_numpy_2_and_picamera2_of_apt(pi):
    text = "ValueError: numpy.dtype size changed, may indicate binary incompatibility."
    broken = software(NUMPY_2, Package("picamera2", (), "", text), apt_picamera2=True)
    problems = found(pi, broken)
    assert problems["numpy-for-picamera2"].fix == "pip install 'numpy<2'"
    assert "picamera2-missing" not in problems


def test_picamera2_that_the_environment_does_not_see(pi):
    hidden = found(pi.but(venv="/opt/env"), software(apt_picamera2=True))["picamera2-missing"]
    assert hidden.fix.endswith("/opt/env/pyvenv.cfg")
    missing = found(pi, software(elements=()))["picamera2-missing"]
    assert missing.severity == "note"
    assert "apt install" in missing.fix


def test_opencv_that_lacks_a_library_of_the_desktop(pi):
    text = "ImportError: libGL.so.1: cannot open shared object file"
    problem = found(pi, software(Package("cv2", ("opencv-python",), "", text)))["opencv-broken"]
    assert problem.severity == "error"
    assert "libgl1" in problem.fix
    problem = found(pi, software(Package("cv2", (HEADLESS,), "", "it crashed")))["opencv-broken"]
    assert problem.fix.startswith(f"pip uninstall -y {HEADLESS} && pip install")
    assert "pip install" in found(pi, software(without=("cv2",)))["opencv-broken"].fix


def test_two_wheels_of_opencv(pi):
    both = Package("cv2", (HEADLESS, "opencv-python"), "4.11.0")
    headless = found(pi, software(both))["two-opencv-wheels"]
    assert headless.severity == "warning"
    assert f"uninstall -y {HEADLESS} opencv-python " in headless.fix
    assert headless.fix.endswith("pip install 'opencv-python>=4.9,<4.12'")
    # As pip install 'edgenn[gui]' leaves it.
    assert found(pi, software(both, opencv_gui=True))["two-opencv-wheels"].severity == "note"


def test_two_wheels_of_onnx_runtime(pi):
    both = replace(ONNX, distributions=("onnxruntime", "onnxruntime-gpu"))
    assert "--no-deps onnxruntime-gpu" in found(pi, software(both))["two-onnx-runtimes"].fix


def test_a_broken_engine_beside_a_good_one_is_a_warning(pi):
    broken = replace(ONNX, error="its import ends the process with SIGILL")
    problems = found(pi, software(broken))
    assert problems["engine-broken"].severity == "warning"
    assert "SIGILL" in problems["engine-broken"].message
    assert "no-engine" not in problems
    alone = found(pi, software(broken, without=("ai_edge_litert",)))
    assert alone["no-engine"].severity == "error"
    assert "edgenn[litert]" in alone["no-engine"].fix


def test_core_and_extras_that_are_missing_or_broken(pi):
    assert found(pi, software(without=("numpy",)))["core-broken"].fix == "pip install numpy"
    broken = software(Package("pydantic", ("pydantic",), "", "it crashed"))
    assert "force-reinstall pydantic" in found(pi, broken)["core-broken"].fix
    serial = Package("serial", ("pyserial",), "", "it crashed")
    assert "pyserial" in found(pi, software(serial))["extra-broken"].fix


def test_pins_of_a_pi_want_lgpio(pi):
    gpiozero = Package("gpiozero", ("gpiozero",), "2.0.1")
    assert "edgenn[gpio]" in found(pi, software(gpiozero))["gpio-without-lgpio"].fix
    both = software(gpiozero, Package("lgpio", ("lgpio",), "0.2.2"))
    assert "gpio-without-lgpio" not in found(pi, both)


def test_a_jetson_wants_gstreamer_with_nvidias_source(tmp_path):
    board = boards.orin(tmp_path)
    none = found(board, software(gstreamer=False, elements=()))["gstreamer-missing"]
    assert "gstreamer1.0-tools" in none.fix
    assert "OpenCV's wheel has no GStreamer either" in none.message
    plain = found(board, software(elements=("libcamerasrc",)))["gstreamer-missing"]
    assert plain.fix == "sudo apt install nvidia-l4t-gstreamer"

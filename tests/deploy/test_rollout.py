from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgenn.bundle.signing import new_key, sign
from edgenn.bundle.store import open_bundle, write_bundle
from edgenn.cli import main
from edgenn.runtime.golden import GoldenSample, pack, unpack

CAMERA = "test://?size=64x64&fps=20"
ODD = 'it\'s 50% of "$HOME" \\ ü.jsonl'
SQUARES = "tiny-detect"
ONE = ["--engine", "litert", "--precision", "int8"]  # what is not timed takes no time


@pytest.fixture(scope="module")
def hall(make_device):
    return make_device("hall")


@pytest.fixture
def deploy(hall, wheel, grounds, monkeypatch, capsys):
    """Runs ``edgenn deploy``: exit code, standard output, standard error."""

    def deploy(*arguments):
        monkeypatch.setattr(sys, "argv", command(hall, wheel, grounds, *arguments)[2:])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capsys.readouterr()

    return deploy


def command(hall, wheel, grounds, *arguments) -> list[str]:
    words = [sys.executable, "-m", "edgenn", "deploy", *map(str, arguments)]
    own = ["--ssh-config", hall.config, "--wheel", wheel, "--wheelhouse", grounds]
    own += ["--settle", "0.5", "--timeout", "15"]
    return [*words[:4], *map(str, own), *words[4:]]


@pytest.fixture
def running(deploy, hall, tiny):
    """Release that runs on the device as a service; the first test that wants it deploys it."""
    if not hall.current(SQUARES).startswith("20"):
        code, _, err = deploy(tiny / "tiny-detect.edgenn", "hall", "--service", "--source", CAMERA)
        assert code == 0, err
    return hall.current(SQUARES)


def test_a_service_is_deployed_and_a_second_time_nothing_is_done(deploy, hall, tiny, running):
    assert hall.runs(SQUARES) == running
    state = hall.state(SQUARES)
    assert state["ActiveState"] == "active"
    assert "done" in state["StatusText"]
    release = hall.base(SQUARES) / "current"
    assert (release / "venv/bin/edgenn").exists()

    code, out, _ = deploy(tiny / "tiny-detect.edgenn", "hall", "--service", "--source", CAMERA)
    assert code == 0
    assert "hall: nothing to do" in out
    assert hall.state(SQUARES)["MainPID"] == state["MainPID"]


def test_other_arguments_make_a_new_release_in_the_same_environment(deploy, hall, tiny, running):
    for number in range(2):
        bundle = tiny / "tiny-detect.edgenn"
        words = ["--source", CAMERA, "--", *ONE, "--out", ODD, "--max-fps", 5 + number]
        code, out, err = deploy(bundle, "hall", "--service", *words)
        assert code == 0, err
    base = hall.base(SQUARES)
    words = (base / "current/run.args").read_text().split()
    assert words[-4:] == ["--engine", "litert", "--precision", "int8"]
    assert hall.current(SQUARES) != running
    assert hall.runs(SQUARES) == hall.current(SQUARES)
    assert (base / "data" / ODD).stat().st_size > 0
    assert len(list((base / "releases").iterdir())) == 2
    assert not (base / "releases" / running).exists()
    assert len(list((base / "venvs").iterdir())) == 1
    assert "install" not in out


def broken(bundle: Path, out: Path) -> Path:
    """The bundle with golden outputs that no variant gives."""
    opened = open_bundle(bundle)
    manifest, golden = opened.manifest, opened.manifest.golden
    samples = [
        GoldenSample(
            s.raw, s.placed, {k: np.asarray(v + 9, np.float32) for k, v in s.outputs.items()}
        )
        for s in unpack(opened.read(golden.file), manifest, "")
    ]
    files = {v.file: opened.read(v.file) for v in manifest.variants}
    files[golden.file] = pack(samples)
    golden = golden.model_copy(update={"sha256": sha256(files[golden.file])})
    write_bundle(manifest.model_copy(update={"golden": golden}), files, out)
    return out


def sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def test_a_bundle_that_does_not_verify_there_touches_nothing(deploy, hall, tiny, running, tmp_path):
    pid = hall.state(SQUARES)["MainPID"]
    bundle = broken(tiny / "tiny-detect.edgenn", tmp_path / "broken.edgenn")
    code, out, err = deploy(bundle, "hall", "--service", "--source", CAMERA)
    assert code == 14
    assert "the bundle does not verify there: model.fp32.onnx: tensor" in err
    assert len(err.strip().splitlines()) == 1
    assert hall.current(SQUARES) == running
    assert (hall.state(SQUARES)["MainPID"], hall.runs(SQUARES)) == (pid, running)
    assert running in [path.name for path in (hall.base(SQUARES) / "releases").iterdir()]
    assert "restart" not in out


@pytest.fixture
def silent():
    """Address of a stream that is taken and never begins."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("/no/such.mp4", "the service ended: there is no video or other source at /no/such.mp4"),
        ("silent", "the service was not ready within 2 s, it is activating: "),
    ],
)
def test_a_service_that_does_not_become_healthy_goes_back(
    deploy, hall, tiny, running, silent, grounds, source, reason
):
    key, bundle = grounds / f"{len(source)}.key", grounds / "signed.edgenn"
    new_key(key)
    shutil.copy(tiny / "tiny-detect.edgenn", bundle)
    sign(bundle, key, 4)
    words = ["--service", "--source", source]
    if source == "silent":
        words = ["--service", "--timeout", "2", "--source", silent]
    code, _, err = deploy(bundle, "hall", *words, "--", *ONE, "--require-key", f"{key}.pub")
    assert code == 14
    assert reason in err
    assert err.endswith(f"; {running} runs again\n")
    assert hall.current(SQUARES) == hall.runs(SQUARES) == running
    assert hall.state(SQUARES)["ActiveState"] == "active"
    # Or the release of before, where it is signed, would be refused as older.
    assert not (hall.home / ".local/state/edgenn/serials.json").exists()


@pytest.fixture
def begin(hall, wheel, grounds, tmp_path):
    """Starts ``edgenn deploy`` as a process of its own."""

    def begin(*arguments):
        # One that is killed leaves its files behind.
        env = {**os.environ, "TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": str(grounds)}
        words = command(hall, wheel, grounds, *arguments)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(words, env={**env, "PYTHONUNBUFFERED": "1"}, **pipes)

    return begin


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_before_the_new_service_is_trusted_the_old_one_runs_again(
    deploy, begin, hall, tiny, running, number
):
    bundle = tiny / "tiny-detect.edgenn"
    words = ["--service", "--source", CAMERA, "--settle", "60", "--", *ONE, "--max-frames", "9999"]
    with begin(bundle, "hall", *words) as process:
        hall.wait(lambda: hall.runs(SQUARES) not in ("", running))
        if number == signal.SIGINT:  # meanwhile others have to wait
            code, _, said = deploy(bundle, "hall", *words[:3])
            assert code == 14
            assert "another deployment to" in said
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert (process.returncode, err) == (130, "edgenn: interrupted\n")
        assert out.endswith(f"hall: interrupted; {running} runs again\n")
        assert hall.current(SQUARES) == hall.runs(SQUARES) == running
    hall.wait(lambda: hall.current(SQUARES) == hall.runs(SQUARES) == running)
    hall.wait(lambda: len(list((hall.base(SQUARES) / "releases").glob("*"))) <= 2)


def test_interrupted_while_it_installs_nothing_counts_and_the_next_begins_anew(
    deploy, begin, hall, tiny
):
    words = [tiny / "tiny-detect.edgenn", "hall", "--name", "early", "--", *ONE]
    with begin(*words) as process:
        while "hall: install" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    base = hall.base("early")
    assert not list(base.glob("venvs/*"))
    assert not list(base.glob("releases/*"))
    assert not (base / "current").exists()

    code, _, err = deploy(*words)
    assert code == 0, err
    assert list(base.glob("venvs/*/whole"))
    start = (base / "current/start").read_text()
    assert start.endswith('--engine litert --precision int8 "$@"\n')
    assert not hall.state("early")


def test_what_runs_as_a_service_is_not_replaced_by_what_does_not(deploy, hall, tiny, running):
    code, _, err = deploy(tiny / "tiny-detect.edgenn", "hall")
    assert code == 14
    assert "tiny-detect runs as a service there; add --service" in err
    assert hall.current(SQUARES) == running


def test_a_dry_run_says_the_steps_and_touches_nothing(deploy, hall, tiny):
    words = ["--service", "--source", CAMERA, "--name", "dry"]
    code, out, _ = deploy(tiny / "tiny-detect.edgenn", "hall", "--dry-run", *words)
    assert code == 0
    assert "hall: install edgenn-" in out
    assert "go back to nothing unless it is ready" in out
    assert not hall.base("dry").exists()


def test_two_devices_at_once_and_one_that_is_away(deploy, hall, tiny, make_device):
    attic = make_device("attic", "sh", "tar")  # and no rsync
    hosts = ["hall", "no-such-host.invalid", "attic"]
    words = ["--service", "--source", CAMERA, "--", *ONE, "--max-fps", 7]
    code, out, err = deploy(tiny / "tiny-detect.edgenn", *hosts, *words)
    assert code == 14
    reason = "no-such-host.invalid: there is no device of that name in the network"
    assert err == f"edgenn: 1 of 3 hosts failed: {reason}\n"
    table = {line.split()[0]: line.split()[1:] for line in out.splitlines()[-6:]}
    assert table["no-such-host.invalid"] == ["failed"]
    for device in (hall, attic):
        result, release, variant, _ = table[device.name]
        assert (result, variant) == ("deployed", "model.int8.tflite")
        assert release == device.current(SQUARES) == device.runs(SQUARES)

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import asdict

import pytest

from edgenn.bundle.compose import compose
from edgenn.bundle.signing import new_key, sign
from edgenn.bundle.store import open_bundle
from edgenn.bundle.trust import Policy, read_public
from edgenn.deploy import plan
from edgenn.deploy.cargo import pack
from edgenn.deploy.plan import Wish
from edgenn.errors import DeployError, UsageError
from edgenn.ops.crop import HAND, PALM

FACTS = {
    "system": "Linux",
    "machine": "aarch64",
    "bits": 64,
    "python": "3.11.2",
    "executable": "/usr/bin/python3.11",
    "venv": True,
    "picamera2": False,
    "free_mb": 9000,
    "user": "pi",
    "scope": "user",
    "base": "/home/pi/.local/share/edgenn/squares",
    "writable": True,
    "rsync": True,
    "systemd": True,
    "unit": False,
    "release": "",
    "fingerprint": "",
    "active": False,
}


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "edgenn-0.1.0-py3-none-any.whl"
    path.write_bytes(b"PK\5\6" + bytes(18))  # an empty zip
    return path


@pytest.fixture
def wish(tiny, wheel, tmp_path):
    cargo = pack(str(tiny / "tiny-detect.edgenn"), wheel, None, tmp_path)
    return Wish(
        name="squares",
        cargo=cargo,
        arguments=("--camera", "0"),
        variants=(),
        service=True,
        scope="auto",
        extras=(),
        timeout=90,
        settle=10,
        who="me@here",
    )


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"machine": "armv6l"}, "it is Linux on armv6l; edgenn runs on Linux on x86_64"),
        ({"system": "Darwin", "machine": "arm64"}, "it is Darwin on arm64"),
        ({"bits": 32}, "its Python is of 32 bits on aarch64"),
        ({"venv": False}, "install it there by 'sudo apt install python3.11-venv'"),
        ({"free_mb": 400}, "400 MB are free for /home/pi/.local/share/edgenn/squares, 510 MB are"),
        ({"writable": False}, "pi may not write to /home/pi"),
        ({"systemd": False}, "it has no systemd that answers to this user; leave --service out"),
    ],
)
def test_a_device_that_cannot_do_it_is_refused(wish, facts, sentence):
    with pytest.raises(DeployError) as caught:
        plan.check("hall", {**FACTS, **facts}, wish, has_venv=False)
    assert str(caught.value).startswith("hall: ")
    assert sentence in str(caught.value)


def test_devices_that_can_do_it(wish):
    plan.check("hall", FACTS, wish, has_venv=False)
    plan.check("hall", {**FACTS, "free_mb": 100}, wish, has_venv=True)
    plan.check("hall", {**FACTS, "machine": "armv7l", "bits": 32}, wish, has_venv=False)
    bare = dataclasses.replace(wish, service=False)
    plan.check("hall", {**FACTS, "systemd": False}, bare, has_venv=False)
    with pytest.raises(DeployError, match="squares runs as a service there; add --service"):
        plan.check("hall", {**FACTS, "unit": True}, bare, has_venv=False)


def test_what_is_the_same_is_done_and_what_differs_is_not(wish):
    there = {**FACTS, "fingerprint": plan.fingerprint(FACTS, wish), "active": True}
    assert plan.done(there, wish)
    assert not plan.done({**there, "active": False}, wish)
    other = dataclasses.replace(wish, arguments=("--camera", "1"))
    assert not plan.done(there, other)
    assert plan.venv_key(FACTS, other) == plan.venv_key(FACTS, wish)
    assert plan.venv_key({**FACTS, "python": "3.13.1"}, wish) != plan.venv_key(FACTS, wish)
    assert plan.venv_key(FACTS, dataclasses.replace(wish, extras=("onnx",))) != plan.venv_key(
        FACTS, wish
    )


def test_the_running_version_is_touched_only_after_the_new_one_was_verified(wish):
    actions = [step.action for step in plan.steps(FACTS, wish, has_venv=False)]
    assert actions == [
        *("lock", "upload", "venv", "stage", "doctor", "verify", "measure", "activate", "prune")
    ]
    assert "venv" not in [step.action for step in plan.steps(FACTS, wish, has_venv=True)]


def test_signatures_hold_on_the_device(tiny, wheel, tmp_path):
    signed, key = tmp_path / "signed.edgenn", tmp_path / "fleet.key"
    shutil.copy(tiny / "tiny-detect.edgenn", signed)
    new_key(key)
    said = sign(signed, key, 3)
    policy = Policy((read_public(tmp_path / "fleet.key.pub"),))
    assert policy.open(pack(str(signed), wheel, None, tmp_path).bundle).statement == said


def test_the_nets_of_a_chain_are_brought_too(tiny, wheel, tmp_path):
    net, chain = tiny / "tiny-detect.edgenn", tmp_path / "chain.edgenn"
    shutil.copy(net, signed := tmp_path / "signed.edgenn")
    new_key(tmp_path / "key")
    sign(signed, tmp_path / "key", 1)  # its manifest names its card
    rules = {"region": asdict(PALM), "again": asdict(HAND), "label": "hand"}
    compose(signed, net, None, rules, chain, name="chain")
    brought = open_bundle(pack(str(chain), wheel, None, tmp_path).bundle)
    assert brought.member(brought.manifest.chain.landmarks).manifest.name == "tiny-detect"


def test_what_cannot_be_brought(tiny, wheel, tmp_path):
    squares = str(tiny / "tiny-detect.edgenn")
    with pytest.raises(DeployError, match="there is no wheel at"):
        pack(squares, tmp_path / "none.whl", None, tmp_path)
    (tmp_path / "numpy-1.0-py3-none-any.whl").write_bytes(wheel.read_bytes())
    with pytest.raises(DeployError, match="is no wheel of edgenn"):
        pack(squares, tmp_path / "numpy-1.0-py3-none-any.whl", None, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="there are no wheels in"):
        pack(squares, wheel, tmp_path / "empty", tmp_path)

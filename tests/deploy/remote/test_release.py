from __future__ import annotations

import hashlib
import subprocess

import pytest

from edgenn.deploy.remote import release
from edgenn.deploy.remote.release import Releases, Serials
from edgenn.deploy.remote.talk import RefusedError

BUNDLE = b"a bundle"
SHA256 = hashlib.sha256(BUNDLE).hexdigest()


@pytest.fixture
def releases(line, tmp_path):
    made = Releases(line, tmp_path / "a folder's")
    made.lock("me@here")
    return made


@pytest.fixture
def make(releases, monkeypatch):
    """Makes and switches to a release."""
    numbers = iter(range(100))
    monkeypatch.setattr(release.time, "strftime", lambda *_: f"2026010{next(numbers)}")

    def make(venv="v", arguments=()):
        folder = releases.base / "venvs" / venv / "bin"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "edgenn").write_text('#!/bin/sh\nfor word; do echo "$word"; done\n')
        (folder / "edgenn").chmod(0o755)
        (releases.base / "incoming").mkdir(exist_ok=True)
        (releases.base / "incoming/model.edgenn").write_bytes(BUNDLE)
        name = releases.stage(venv=venv, bundle="model.edgenn", sha256=SHA256, fingerprint="f" * 64)
        releases.seal(arguments, {})
        releases.point(releases.new)
        releases.new = None
        return name

    return make


def test_one_at_a_time(line, releases):
    with pytest.raises(
        RefusedError, match=r"another deployment to .* is under way \(me@here, since"
    ):
        Releases(line, releases.base).lock("you@there")


def test_what_did_not_arrive_whole_is_no_release(releases):
    (releases.base / "incoming/model.edgenn").write_bytes(BUNDLE[:-1])
    with pytest.raises(RefusedError, match="did not arrive as it was sent"):
        releases.stage(venv="v", bundle="model.edgenn", sha256=SHA256, fingerprint="f" * 64)
    assert not list((releases.base / "releases").iterdir())


def test_the_arguments_arrive_as_they_were_given(releases, make):
    words = ["--out", 'it\'s $HOME "x" \\ %h;ls', "--source", "test://?size=64x64&fps=9", ""]
    make(arguments=words)
    start = releases.base / "current/start"
    said = subprocess.run([start], capture_output=True, text=True, check=True).stdout
    model = releases.current() / "model.edgenn"
    assert said.splitlines() == ["run", str(model), *words]
    assert start.stat().st_mode & 0o077 == 0
    assert releases.base.stat().st_mode & 0o077 == 0


def test_two_releases_and_their_environments_are_kept(releases, make):
    names = [make(venv) for venv in ("a", "b", "b", "c")]
    releases.prune()
    assert {path.name for path in (releases.base / "releases").iterdir()} == set(names[2:])
    assert {path.name for path in (releases.base / "venvs").iterdir()} == {"b", "c"}
    assert releases.current().name == names[3]
    assert not (releases.base / "incoming").exists()


def test_a_release_that_counts_is_not_dropped_and_another_is(releases, make):
    first = make()
    releases.new = releases.current()
    releases.drop_new()
    assert releases.current().name == first
    make()
    second, releases.new = releases.current(), releases.current()
    releases.point(releases.base / "releases" / first)
    releases.drop_new()
    assert not second.exists()
    releases.point(None)
    assert releases.current() is None


def test_serials_are_as_they_were_before_a_release_that_failed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    file = tmp_path / "edgenn/serials.json"
    file.parent.mkdir()
    none = Serials()
    file.write_text('{"person": 3}')
    serials = Serials()
    file.write_text('{"person": 4}')
    serials.put_back()
    assert file.read_text() == '{"person": 3}'
    none.put_back()
    none.put_back()
    assert not list(file.parent.iterdir())

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import signal
import stat
import subprocess
import sys
import threading
from time import monotonic, sleep

import pytest

from edgenn import Pipeline
from edgenn.bundle.signing import new_key
from edgenn.bundle.trust import Policy, Revoked
from edgenn.errors import ModelError, SourceError
from edgenn.runtime.update import trial as trial_module
from edgenn.runtime.update.download import Client
from edgenn.runtime.update.loader import Loader
from edgenn.runtime.update.publish import publish
from edgenn.runtime.update.slots import Slots
from edgenn.runtime.update.trial import Rules
from edgenn.runtime.update.updater import Updater

RULES = Rules(trial_s=0.6, silence_s=0.6)


@dataclasses.dataclass(frozen=True)
class Odd(Loader):
    """Makes of the model with serial 2 in the slots what a test wants."""

    spoil: object = None

    def load(self, bundle):
        model = Loader.load(self, bundle)
        if bundle.path.name == "b.edgenn":
            self.spoil(model)
        return model


class Run:
    """A pipeline in the background that follows a server."""

    def __init__(self, tmp_path, server, policy, *, loader=None, rules=RULES, fps=100, frames=None):
        self.slots = Slots(tmp_path / "slots")
        client = lambda stopped: Client(stopped, timeout_s=0.5, stall_s=1.0, pause_s=0.01)  # noqa: E731
        self.updater = Updater(
            server.index,
            self.slots,
            policy,
            "device",
            loader or Loader(),
            poll_s=0.05,
            rules=rules,
            client=client,
        )
        self.fps, self.frames = fps, frames
        self.results = []

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.stack.callback(self.updater.close)
        model = self.updater.start_with(None)
        source = f"test://?size=64x48&fps={self.fps}"
        self.pipeline = self.stack.enter_context(Pipeline(source, model))
        self.pipeline.start(lambda result: self.results.append(result.item.index))
        self.updater.follow(self.pipeline)
        return self

    def __exit__(self, *error):
        self.updater.close()
        self.stack.close()

    @property
    def state(self):
        return self.slots.state

    def until(self, condition, seconds=15):
        end = monotonic() + seconds
        while not condition():
            assert monotonic() < end, self.state
            assert self.pipeline.wait(0) is None, "the run ended"
            sleep(0.02)


def test_a_new_release_is_proved_tried_and_confirmed_while_frames_go_on(
    tmp_path, server, maker, policy
):
    maker.publish(1)
    with Run(tmp_path, server, policy) as run:
        assert run.updater.about() == {"bundle": "tiny-detect", "serial": 1, "slot": "a"}
        maker.publish(2)
        run.until(lambda: run.updater.serial == 2)
        assert run.updater.slot == "b"
        before = len(run.results)
        run.until(lambda: len(run.results) > before)
        assert run.pipeline.model.on_fault is None
    assert (run.state.confirmed.serial, run.state.previous.serial) == (2, 1)
    assert run.results == sorted(set(run.results))
    server.close()  # a device without a network starts all the same
    with Run(tmp_path, server, policy) as run:
        assert run.updater.serial == 2


def wrong_hash(maker, server):
    maker.publish(2, edit={"sha256": "0" * 64})


def wrong_key(maker, server):
    other = maker.folder / "other.key"
    new_key(other)
    maker.publish(2, key=other)


def wrong_serial(maker, server):
    maker.publish(2, edit={"serial": 3})


def lower_serial(maker, server):
    maker.publish(1, fresh=True)


def half(maker, server):
    name = "tiny-detect-2.edgenn"

    def answer(handler):
        handler.answer(200, (server.folder / name).read_bytes(), cut=1000)

    server.odd[name] = answer
    maker.publish(2)


def to_a_file(maker, server):
    maker.publish(2, edit={"url": "file:///etc/passwd"})


def huge(maker, server):
    maker.publish(2, edit={"size": 10_000_000_000})


def no_json(maker, server):
    (server.folder / "index.json").write_text("<html>")


def hanging(maker, server):
    server.odd["index.json"] = lambda handler: sleep(3)


def too_new(maker, server):
    maker.publish(2, min_edgenn="99.0")


def other_model(maker, server):
    source = maker.source.with_name("tiny-classify.edgenn")
    maker.publish(2, source=source, fresh=True)


def no_bundle(maker, server):
    junk = b"not a bundle" * 100
    (server.folder / "junk").write_bytes(junk)
    maker.publish(
        2, edit={"url": "junk", "size": len(junk), "sha256": hashlib.sha256(junk).hexdigest()}
    )


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (wrong_hash, "does not have the hash that the index says"),
        (wrong_key, "none of which is a key wanted here"),
        (wrong_serial, "is tiny-detect serial 2, but tiny-detect serial 3 was promised"),
        (lower_serial, "the index ends at serial 1, but 2 ran here"),
        (half, "broke off after 1000 of"),
        (to_a_file, "'file:///etc/passwd', which is not allowed"),
        (huge, "releases.1.size: Input should be less than or equal to"),
        (no_json, "is not valid JSON"),
        (hanging, "timed out"),
        (too_new, "needs edgenn 99.0"),
        (other_model, "the index is of tiny-classify, but tiny-detect runs here"),
        (no_bundle, "is not a bundle"),
    ],
)
def test_what_is_wrong_leaves_the_run_as_it_is_and_is_told_once(
    tmp_path, server, maker, policy, caplog, unproved, spoil, why
):
    first = 2 if spoil is lower_serial else 1
    maker.publish(first)
    with Run(tmp_path, server, policy) as run:
        state = run.state
        spoil(maker, server)
        run.until(lambda: why in caplog.text)
        sleep(0.25)  # some more looks
        told = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
        assert len(told) == 1
        assert told[0].startswith("no update: ")
        assert "\n" not in told[0]
        before = len(run.results)
        run.until(lambda: len(run.results) > before)
        assert (run.updater.serial, run.state) == (first, state)


def test_a_bundle_that_fails_its_golden_samples_is_not_tried_again(
    tmp_path, server, maker, policy, caplog
):
    def strict(manifest):
        tolerance = manifest.variants[0].tolerance.model_copy(update={"max_abs": {}})
        variants = tuple(v.model_copy(update={"tolerance": tolerance}) for v in manifest.variants)
        return manifest.model_copy(update={"variants": variants})

    maker.publish(1)
    with Run(tmp_path, server, policy, loader=Loader(engine="onnx", precision="int8")) as run:
        maker.publish(2, change=strict)
        run.until(lambda: run.state.refused == (2,))
        fetched = len([name for name, _ in server.asked if name.endswith("-2.edgenn")])
        sleep(0.4)
        assert fetched == len([name for name, _ in server.asked if name.endswith("-2.edgenn")])
        assert run.updater.serial == 1
        maker.publish(3)
        run.until(lambda: run.updater.serial == 3)
    assert "serial 2 fails its golden samples and is not tried again" in caplog.text


def test_an_engine_that_crashes_on_a_model_takes_only_its_own_process(
    tmp_path, server, maker, policy, caplog, monkeypatch
):
    maker.publish(1)
    with Run(tmp_path, server, policy) as run:
        crash = tmp_path / "python"
        crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
        crash.chmod(crash.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(trial_module.sys, "executable", str(crash))
        maker.publish(2)
        run.until(lambda: run.state.refused == (2,))
    assert "end the process with signal 11" in caplog.text


def raises(model):
    def infer(tensor):
        raise RuntimeError("out of luck")

    model.infer = infer


def raises_later(model):
    decode, count = model.decode, iter(range(100))

    def late(*args):
        if next(count) > 10:
            raise ValueError("a shape that no one expected")
        return decode(*args)

    model.decode = late


def slows(model):
    infer = model.infer

    def slow(tensor):
        sleep(0.08)
        return infer(tensor)

    model.infer = slow


def sticks(model):
    def stuck(tensor):
        sleep(2.5)
        raise RuntimeError("timeout")

    model.infer = stuck


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (raises, "it fails: out of luck"),
        (raises_later, "it fails: a shape that no one expected"),
        (slows, "% of its results take up to"),
        (sticks, "it gave no result in 1.2 s"),
    ],
)
def test_a_bundle_that_does_worse_is_taken_back_while_the_run_goes_on(
    tmp_path, server, maker, policy, caplog, unproved, spoil, why
):
    maker.publish(1)
    # Enough results for a judgement of the slow one.
    rules = Rules(trial_s=8.0, silence_s=0.6) if spoil is slows else RULES
    if spoil is sticks:
        rules = dataclasses.replace(RULES, silence_s=1.2, trial_s=5.0)
    with Run(tmp_path, server, policy, loader=Odd(spoil=spoil), rules=rules) as run:
        run.until(lambda: len(run.results) > 40)
        maker.publish(2)
        run.until(lambda: run.state.refused == (2,))
        run.until(lambda: why in caplog.text)
        assert run.updater.about() == {"bundle": "tiny-detect", "serial": 1, "slot": "a"}
        before = len(run.results)
        run.until(lambda: len(run.results) > before + 20)
        assert (run.state.trial, run.state.confirmed.serial) == (None, 1)
        sleep(0.3)
        assert caplog.text.count("is on trial") <= 1
    with Run(tmp_path, server, policy) as run:  # nor after a restart
        assert run.updater.serial == 1
        sleep(0.5)
        assert run.state.trial is None


def test_a_source_that_is_away_is_not_blamed_on_the_bundle(
    tmp_path, server, maker, policy, unproved
):
    maker.publish(1)
    rules = dataclasses.replace(RULES, trial_s=1.5)
    with Run(tmp_path, server, policy, rules=rules) as run:
        run.until(lambda: len(run.results) > 10)
        maker.publish(2)
        run.until(lambda: run.updater._trying)
        run.pipeline.pause()
        run.until(lambda: not run.updater._trying)
        assert run.state.refused == ()
        assert run.updater.serial == 1
        run.pipeline.resume()
        run.until(lambda: run.updater.serial == 2)


def test_a_run_that_ends_in_a_trial_tries_again_and_one_that_it_ended_does_not(
    tmp_path, server, maker, policy, unproved
):
    long = dataclasses.replace(RULES, trial_s=30.0)
    maker.publish(1)
    with Run(tmp_path, server, policy, rules=long) as run:
        maker.publish(2)
        run.until(lambda: run.updater._trying)
    assert (run.state.trial.serial, run.state.trial.starts) == (2, 0)
    with Run(tmp_path, server, policy, rules=long) as run:
        assert run.updater.serial == 1  # the confirmed one, until the trial is over
        run.until(lambda: run.updater._trying)
        run.updater.__exit__(ModelError, ModelError("the engine hangs"), None)
    assert (run.state.trial, run.state.refused) == (None, (2,))


def relabelled(manifest):
    return manifest.model_copy(update={"labels": tuple(f"{n}-2" for n in manifest.labels)})


@pytest.mark.parametrize("stage", ["smoothing", "nonsense"])
def test_stages_that_do_not_fit_are_a_fault_of_the_bundle(
    tmp_path, server, maker, policy, caplog, unproved, stage
):
    maker.publish(1)
    with Run(tmp_path, server, policy) as run:
        maker.publish(2, change=lambda m: m.model_copy(update={"temporal": {stage: {}}}))
        run.until(lambda: run.state.refused == (2,))
        run.until(lambda: stage in caplog.text)
        before = len(run.results)
        run.until(lambda: len(run.results) > before + 20)


def test_what_is_revoked_gives_way_to_what_ran_before(
    tmp_path, server, maker, policy, caplog, unproved
):
    maker.publish(1)
    with Run(tmp_path, server, policy) as run:
        maker.publish(2, change=relabelled)
        run.until(lambda: run.updater.serial == 2)
        bad = run.updater._slots.path(run.state.confirmed)
        known = policy.open(bad).statement.manifest_sha256
    listed = tmp_path / "revoked.json"
    listed.write_text(Revoked(bundles=(known,)).model_dump_json())
    strict = Policy(policy.keys, list_file=listed)
    with Run(tmp_path, server, strict) as run:
        assert run.updater.serial == 1
        listed.write_text(Revoked(keys=(policy.keys[0].id,)).model_dump_json())
        maker.publish(3)
        run.until(lambda: "a key that is revoked" in caplog.text)
        assert run.updater.serial == 1


def test_the_first_start_needs_a_release_that_is_good(tmp_path, server, maker, policy, unproved):
    (server.folder / "index.json").write_text(json.dumps({"version": 1, "releases": []}))
    with (
        pytest.raises(SourceError, match="has no release for this device yet"),
        Run(tmp_path, server, policy),
    ):
        pass


def test_a_device_that_is_not_in_the_share_waits(tmp_path, server, maker, policy, unproved):
    maker.publish(1)
    with Run(tmp_path, server, policy) as run:
        maker.publish(2, rollout=0)
        sleep(0.5)
        assert run.updater.serial == 1
        publish(maker.folder / "release-2.edgenn", server.folder, rollout=100)
        run.until(lambda: run.updater.serial == 2)


def test_proofs_end_when_they_are_told_to(tmp_path, maker):
    stopped = threading.Event()
    stopped.set()
    bundle = Policy((maker.public,)).open(maker.bundle(1)).bundle
    with pytest.raises(InterruptedError):
        trial_module.prove(bundle.path, bundle.manifest.variants[0], stopped)


CRASHING = """
import os, signal, sys
from pathlib import Path
from edgenn import Pipeline
from edgenn.bundle.trust import Policy, read_public
from edgenn.runtime.update import updater as module
from edgenn.runtime.update.loader import Loader
from edgenn.runtime.update.publish import publish
from edgenn.runtime.update.slots import Slots
from edgenn.runtime.update.trial import Rules

class Bad(Loader):
    def load(self, bundle):
        model = super().load(bundle)
        if bundle.path.name == "b.edgenn":
            model.infer = lambda _: os.kill(os.getpid(), signal.SIGSEGV)
        return model

module.prove = lambda *_: None
folder, url, key = sys.argv[1:]
policy = Policy((read_public(Path(key)),))
updater = module.Updater(
    url, Slots(Path(folder)), policy, "d", Bad(), poll_s=0.1, rules=Rules(trial_s=1, silence_s=1)
)
model = updater.start_with(None)
with Pipeline("test://?size=64x48&fps=100", model, max_frames=200) as pipeline:
    with updater.follow(pipeline):
        pipeline.run()
"""


def test_a_bundle_that_kills_the_program_is_given_up_after_three_starts(tmp_path, server, maker):
    folder = tmp_path / "slots"
    command = [sys.executable, "-c", CRASHING, folder, server.index, f"{maker.key}.pub"]

    def start():
        return subprocess.run(
            command, stderr=subprocess.DEVNULL, timeout=60, check=False
        ).returncode

    maker.publish(1)
    assert start() == 0
    maker.publish(2)
    assert [start() for _ in range(5)] == [-signal.SIGSEGV] * 3 + [0, 0]
    state = json.loads((folder / "state.json").read_text())
    assert (state["confirmed"]["serial"], state["refused"], state["trial"]) == (1, [2], None)

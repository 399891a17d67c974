"""A pseudo terminal is the port; the other end of it is the microcontroller."""

from __future__ import annotations

import csv
import io
import sys
import threading
import zipfile
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
from sensors import Port

import edgenn
from edgenn import plugins
from edgenn.errors import MissingExtraError, SourceError, UnfitSourceError
from edgenn.runtime import live, sources
from edgenn.runtime.pipeline import Pipeline, open_for
from edgenn.runtime.sources import Options, open_source

XY = Options(channels=("x", "y"), rate=100)


@pytest.fixture
def port():
    with Port() as port:
        yield port


def read(source):
    found = []
    with pytest.raises(SourceError, match=r"unplugged or broke"):
        found.extend(source)
    return np.concatenate([s.values for s in found]), np.concatenate([s.times for s in found])


def test_garbage_between_the_lines_costs_only_these_lines(port):
    lines = [f"{i},{-i}\n".encode() for i in range(50)]
    lines[20] = b"\xff\x00\x80,\n"
    lines[0] = b"3,-3\n"  # may be the end of a longer one
    source = open_source(f"serial:{port.path}", XY)
    begun = monotonic()
    port.feed(lines, then=port.unplug)
    values, times = read(source)
    assert values[:, 0].tolist() == [i for i in range(1, 50) if i != 20]
    assert source.dropped == 1
    assert begun < times[0] <= times[-1] < monotonic()


def test_a_device_that_has_not_what_the_model_takes_ends_the_run_at_once(port):
    lasting = live.open_lasting(f"serial:{port.path}", XY, "window", retries=None)
    port.feed([f'{{"x": {i}, "z": 0}}\n'.encode() for i in range(200)])
    begun = monotonic()
    with pytest.raises(UnfitSourceError, match=r"has no channel 'y'; there is x, z"):
        list(lasting)
    assert monotonic() - begun < 5


def test_a_port_that_was_unplugged_is_opened_again_under_the_same_path(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "_FIRST_WAIT_S", 0.05)
    link = tmp_path / "by-id"
    lines = [b"time_ms,y,x\n", *(f"{10 * i},0,{i}\n".encode() for i in range(60))]
    first = Port(link)

    def reopen():
        return open_source(f"serial:{link}?baud=9600", XY)

    others = []

    def plug_in_another():
        first.unplug()
        others.append(Port(link))
        # A microcontroller that was not reset does not repeat its header.
        threading.Timer(0.3, others[0].feed, [lines[1:]]).start()

    with first, live.Live(reopen, reopen()) as source:
        first.feed(lines, then=plug_in_another)
        before = after = 0
        for samples in source:
            before += (source.reconnects == 0) * len(samples.times)
            after += (source.reconnects == 1) * len(samples.times)
            assert samples.channels == ("x", "y")
            assert np.all(samples.values[:, 1] == 0)
            if after >= 40:
                break
        assert before > 40
    others[0].__exit__()


def test_a_port_in_use_and_wrong_settings(port):
    first = open_source(f"serial:{port.path}", XY)
    with first, pytest.raises(SourceError, match="is another program using it"):
        open_source(f"serial:{port.path}", XY)
    with pytest.raises(SourceError, match="baud=fast of serial is not a number from 50"):
        open_source(f"serial:{port.path}?baud=fast", XY)
    with pytest.raises(SourceError, match="no setting 'parity' of serial; there is baud, columns"):
        open_source(f"serial:{port.path}?parity=odd", XY)


def test_closing_from_another_thread_ends_it_soon(port):
    source = open_source(f"serial:{port.path}", XY)
    threading.Timer(0.2, source.close).start()
    begun = monotonic()
    assert list(source) == []
    assert monotonic() - begun < 1


def test_a_missing_pyserial_is_named_with_its_pip_line(monkeypatch):
    monkeypatch.delitem(sys.modules, "edgenn.runtime.sources.serial", raising=False)
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(MissingExtraError, match=r"'serial': pip install 'edgenn\[serial\]'"):
        plugins.load(sources, "serial")


def gestures():
    """A gesture and some rest, from the golden recordings of the built-in model."""
    path = Path(edgenn.__file__).parents[1] / "models" / "watch" / "watch.edgenn"
    with zipfile.ZipFile(path) as bundle, np.load(io.BytesIO(bundle.read("golden.npz"))) as golden:
        values = np.concatenate([golden["raw_0"][:250], golden["raw_2"][:200]])
    return np.arange(len(values)) / 50, values


def test_the_watch_hears_the_same_from_a_port_as_from_a_recording(port, tmp_path):
    model = edgenn.load("watch")
    channels = list(model.manifest.input.channels)
    t, values = gestures()
    rows = [[f"{a:.3f}", *(f"{v:.5f}" for v in row)] for a, row in zip(t, values, strict=True)]
    path = tmp_path / "wrist.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["time", *channels], *rows])
    recorded = list(Pipeline(open_for(model, path), model))
    lines = [",".join(["time", *channels]), *(",".join(row) for row in rows)]
    source = open_for(model, f"serial:{port.path}", retries=0)
    port.feed([f"{line}\r\n".encode() for line in lines], then=port.unplug, rate=50)
    heard = []
    with pytest.raises(SourceError, match="unplugged"):
        heard.extend(Pipeline(source, model))
    assert len(heard) == len(recorded) - (recorded[-1].item.index == recorded[-2].item.index)
    for a, b in zip(heard, recorded, strict=False):
        assert np.array_equal(a.item.values, b.item.values)
        assert np.array_equal(a.prediction.scores, b.prediction.scores)
    base = heard[0].item.start - recorded[0].item.start
    found = [
        [(e.label, e.start, e.end) for r in run for e in r.events] for run in (heard, recorded)
    ]
    assert found[1], "the watch sees nothing in it: the test would show nothing"
    for (label, start, end), (wanted, begin, stop) in zip(*found, strict=False):
        assert label == wanted
        assert abs(start - base - begin) < 0.05
        assert abs(end - base - stop) < 0.05
    assert len(found[0]) == len(found[1])

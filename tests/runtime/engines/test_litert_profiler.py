from __future__ import annotations

import ctypes
import importlib.util

import numpy as np
import pytest

from edgenn.bundle.store import open_bundle
from edgenn.errors import ModelError
from edgenn.runtime.engines import _litert_profiler as profiler

litert = pytest.importorskip("edgenn.runtime.engines.litert")


@pytest.fixture(scope="module", params=["fp32", "int8"])
def variant(request, tiny):
    """The detector's file and an input of its type."""
    bundle = open_bundle(tiny / "tiny-detect.edgenn")
    (found,) = (
        v for v in bundle.manifest.variants if (v.engine, v.precision) == ("litert", request.param)
    )
    data = bundle.read(found.file)
    ((name, details),) = litert.open_model(data, 1)._ins.items()
    return data, {name: np.zeros(details["shape"], details["dtype"])}


def test_every_run_has_the_same_operators_with_names_of_their_own(variant):
    data, codes = variant
    recorder = profiler.Recorder(data, threads=1)
    for _ in range(4):
        recorder.run(codes)
    names = [event["name"] for event in recorder.events()]
    once = names[: len(names) // 4]
    assert names == once * 4
    assert len(set(once)) == len(once) > 3
    assert any("Convolution" in name for name in once)


def test_inputs_of_another_name_or_size_are_refused(variant):
    data, codes = variant
    recorder = profiler.Recorder(data, threads=0)
    ((name, value),) = codes.items()
    with pytest.raises(ModelError, match="its signature takes"):
        recorder.run({"other": value})
    with pytest.raises(ModelError, match=rf"takes {value.nbytes} bytes, not {value.nbytes // 2}"):
        recorder.run({name: value.reshape(-1)[::2]})


def test_events_of_an_unknown_form_are_not_read(variant, monkeypatch):
    class Longer(ctypes.Structure):
        _fields_ = (*profiler._Event._fields_, ("more", ctypes.c_uint64))

    monkeypatch.setattr(profiler, "_Event", Longer)
    data, codes = variant
    recorder = profiler.Recorder(data, threads=1)
    recorder.run(codes)
    with pytest.raises(ModelError, match="of a form that edgenn does not know"):
        recorder.events()


def test_no_library_and_a_damaged_file_are_said(variant, monkeypatch):
    data, _ = variant
    with pytest.raises(ModelError, match="LiteRtCreateModelFromBuffer of LiteRT answered"):
        profiler.Recorder(data[:200], threads=1)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="has no profiler"):
        profiler.Recorder(data, threads=1)

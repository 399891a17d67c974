"""A pipeline inside a program: swapped, paused, in the background, awaited, on a budget."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic, sleep

import pytest
from spies import Spy

import edgenn
from edgenn import Pipeline
from edgenn.errors import ModelError, SinkError, UsageError
from edgenn.runtime import degrade as degrade_module
from edgenn.runtime import feed as feed_module
from edgenn.runtime.sinks.memory import MemorySink


def test_a_model_is_swapped_while_it_runs_and_no_frame_is_lost(squares, tiny, clip):
    other = edgenn.load(tiny / "tiny-detect.edgenn", engine="onnx", precision="fp32")
    pipeline = Pipeline(clip, squares)
    frames, engines = [], []
    for result in pipeline:
        frames.append(result.item.index)
        engines.append(pipeline.model.variant.engine)
        assert len(result.prediction) == (1 if result.item.index < 10 else 2)
        if len(frames) == 5:
            pipeline.swap(other)
    assert frames == list(range(20))
    assert engines == sorted(engines)
    assert engines.count("onnx") >= 20 - 5 - feed_module.IN_FLIGHT
    assert pipeline.health.gaps == 0


def test_models_are_swapped_by_another_thread_for_as_long_as_it_runs(squares, tiny):
    models = [squares, edgenn.load(tiny / "tiny-detect.edgenn", engine="onnx", precision="fp32")]
    pipeline = Pipeline("test://?size=64x48&fps=200", squares, max_frames=300)
    over = threading.Event()

    def swap():
        while not over.wait(0.005):
            models.reverse()
            pipeline.swap(models[0])

    thread = threading.Thread(target=swap)
    thread.start()
    frames = [result.item.index for result in pipeline]
    over.set()
    thread.join()
    assert len(frames) == 300
    assert frames == sorted(set(frames))


def test_a_swap_for_a_model_of_other_input_is_refused_and_the_run_goes_on(squares, levels, clip):
    pipeline = Pipeline(clip, squares)
    results = iter(pipeline)
    next(results)
    with pytest.raises(UsageError, match=r"tiny-sequence cannot take the place of tiny-detect"):
        pipeline.swap(levels)
    with pytest.raises(ModelError, match=r"there is no model at"):
        pipeline.swap("nowhere.edgenn")
    assert len(list(results)) == 19


def test_a_model_on_trial_that_fails_is_told_of_and_gives_no_result(squares, tiny, clip):
    bad = edgenn.load(tiny / "tiny-detect.edgenn")

    def fails(tensor):
        raise RuntimeError("out of luck")

    bad.infer = fails
    heard = []
    pipeline = Pipeline(clip, squares)
    frames = []
    for result in pipeline:
        frames.append(result.item.index)
        if len(frames) == 3:
            pipeline.swap(bad, heard.append)
    assert [str(error) for error in heard] == ["out of luck"] * (20 - len(frames))
    assert frames == list(range(len(frames)))
    assert 3 <= len(frames) <= 3 + feed_module.IN_FLIGHT + 1
    again = Pipeline(clip, squares)
    results = iter(again)
    next(results)
    again.swap(bad)
    with pytest.raises(RuntimeError, match="out of luck"):
        list(results)


def test_a_file_waits_while_it_is_paused(squares, clip):
    pipeline = Pipeline(clip, squares)
    seen = []
    pipeline.start(lambda result: seen.append(result.item.index))
    pipeline.pause()
    assert pipeline.is_paused
    assert pipeline.wait(0.3) is None
    stood = len(seen)
    assert pipeline.wait(0.3) is None
    assert len(seen) == stood < 20
    pipeline.resume()
    assert pipeline.wait(10).frames == 20
    assert seen == list(range(20))


def test_a_live_source_is_not_looked_at_while_it_is_paused(squares):
    pipeline = Pipeline("test://?size=64x48&fps=100", squares)
    with pipeline:
        seen = []
        pipeline.start(seen.append)
        _until(lambda: len(seen) > 10)
        pipeline.pause()
        sleep(0.2)
        stood = len(seen)
        sleep(0.5)
        assert len(seen) == stood
        pipeline.resume()
        _until(lambda: len(seen) > stood + 10)
    summary = pipeline.wait(5)
    assert summary.gaps == 1
    after = seen[stood]
    assert after.item.index > seen[stood - 1].item.index + 30
    assert after.latency_ms["total"] < 100  # and not a frame from before


def test_a_pipeline_in_the_background_tells_how_it_ended(squares, clip):
    def fail(result):
        if result.item.index == 3:
            raise ValueError("no more")

    pipeline = Pipeline(clip, squares)
    with pytest.raises(UsageError, match="was not started"):
        pipeline.wait()
    pipeline.start(fail)
    with pytest.raises(ValueError, match="no more"):
        pipeline.wait(10)
    with pytest.raises(UsageError, match="started once"):
        pipeline.start()


def test_leaving_the_block_ends_a_run_in_the_background(squares):
    sink = MemorySink(limit=5)
    with Pipeline("test://?size=64x48&fps=50", squares, [sink]) as pipeline:
        pipeline.start()
        _until(lambda: pipeline.health.frames > 3)
    assert pipeline.wait(0).frames > 3
    assert not [t for t in threading.enumerate() if t.name.startswith("edgenn run")]


def test_results_are_awaited_while_the_event_loop_goes_on(squares):
    async def follow():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        frames = [
            result.item.index
            async for result in Pipeline("test://?size=64x48&fps=20", squares, max_frames=10)
        ]
        ticking.cancel()
        return frames, ticks

    frames, ticks = asyncio.run(follow())
    assert len(frames) == 10
    assert ticks > 20


def test_a_cancelled_task_closes_its_pipeline(squares):
    spy = Spy()

    async def follow():
        async for _ in Pipeline("test://?size=64x48&fps=20&stall_at=3&stall=5", squares, [spy]):
            pass

    async def main():
        task = asyncio.create_task(follow())
        await asyncio.sleep(0.8)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    begun = monotonic()
    asyncio.run(main())
    assert (spy.written, spy.closed) == (3, 1)
    assert monotonic() - begun < 3


def test_an_async_run_raises_what_ended_it(squares, clip):
    async def follow():
        async for _ in Pipeline(clip, squares, [Spy(3, SinkError("full"))]):
            pass

    with pytest.raises(SinkError, match="full"):
        asyncio.run(follow())


def test_a_budget_that_cannot_be_kept_lowers_the_rate_then_the_model(squares, tiny, monkeypatch):
    smaller = edgenn.load(tiny / "tiny-detect.edgenn", engine="onnx", precision="fp32")
    infer = edgenn.Model.infer

    def slow(model, tensor):
        sleep(0.03 if model.variant.engine == "litert" else 0.001)
        return infer(model, tensor)

    monkeypatch.setattr(edgenn.Model, "infer", slow)
    monkeypatch.setattr(degrade_module, "_LOOK_S", 0.6)
    pipeline = Pipeline("test://?size=64x48&fps=50", squares, latency_budget=20, fallback=smaller)
    with pipeline:
        pipeline.start()
        _until(lambda: pipeline.model.variant.engine == "onnx", 15)
        _until(lambda: pipeline.health.level == 3)
    assert "20 ms of the budget" in pipeline.health.reason


def test_a_budget_is_for_live_sources_and_the_smaller_model_means_the_same(squares, levels, clip):
    with pytest.raises(UsageError, match="for cameras and streams"):
        Pipeline(clip, squares, latency_budget=50)
    with pytest.raises(UsageError, match="its labels are others"):
        Pipeline("test://", squares, fallback="person")
    with pytest.raises(UsageError, match="sensor readings"):
        Pipeline("test://", squares, fallback=levels)


def _until(is_so, seconds=10.0):
    end = monotonic() + seconds
    while not is_so():
        assert monotonic() < end
        sleep(0.01)

from __future__ import annotations

import itertools
import json
import threading
from time import monotonic, sleep

import numpy as np
import pytest
from spies import Spy

import edgenn
from edgenn import Pipeline, Samples
from edgenn.errors import ModelError, SinkError, SourceError, UsageError
from edgenn.runtime import pipeline as pipeline_module
from edgenn.runtime.sinks import Finished
from edgenn.runtime.sinks.jsonl import open_sink
from edgenn.runtime.sinks.memory import MemorySink
from edgenn.runtime.sources import Options, open_source

STAGES = ["capture", "preprocess", "inference", "decode", "total"]


def test_one_result_per_frame_in_order(squares, clip):
    sink = MemorySink()
    with Pipeline(clip, squares, [sink]) as pipeline:
        results = list(pipeline)
    assert [r.item.index for r in results] == list(range(20))
    assert [len(r.prediction) for r in results] == [1] * 10 + [2] * 10
    assert list(sink.results) == results
    assert pipeline.health.frames == 20


def test_latencies_of_every_stage_add_up(squares, clip):
    for result in Pipeline(clip, squares):
        assert list(result.latency_ms) == STAGES
        *parts, total = result.latency_ms.values()
        assert all(part >= 0 for part in parts)
        assert sum(parts) <= total <= sum(parts) + 50


def test_run_calls_back_and_sums_up(squares, clip):
    seen = []
    summary = Pipeline(str(clip), squares).run(seen.append)
    assert len(seen) == summary.frames == 20
    assert summary.fps == pytest.approx(20 / summary.seconds)
    assert list(summary.latency_ms) == STAGES


def test_opens_model_and_source_by_name(tiny, clip):
    path = tiny / "tiny-detect.edgenn"
    assert Pipeline(str(clip), str(path)).run().frames == 20
    assert Pipeline(clip, path, max_frames=3).run().frames == 3


def test_a_replay_decides_the_same_to_the_bit(tiny, recording, clip):
    for model, source in (("tiny-sequence", recording), ("tiny-detect", clip)):
        first, second = ([], [])
        for seen in (first, second):
            for r in Pipeline(source, tiny / f"{model}.edgenn"):
                found = r.prediction
                parts = [found.scores.tobytes(), r.events, r.item.index]
                seen.append([*parts, getattr(found, "boxes", found.scores).tobytes()])
        assert first == second


def test_windows_of_a_recording_and_the_events_in_it(levels, recording):
    results = list(Pipeline(recording, levels))
    windows = [r.item for r in results]
    assert [w.index for w in windows[:-1]] == list(range(57))  # (300 - 20) / 5 + 1
    assert windows[-1] is windows[-2]  # the last line only closes the last event
    assert windows[0].values.shape == (20, 2)
    assert (windows[1].start, windows[1].end) == pytest.approx((0.25, 1.2))
    events = [e for r in results for e in r.events]
    assert [e.label for e in events] == ["low", "middle", "high"]
    for event, truth in zip(events, (5, 10, 14.95), strict=True):
        assert event.end == pytest.approx(truth, abs=1.0)  # a window and the smoothing late
    assert [e.start for e in events[1:]] == [e.end for e in events[:-1]]


def test_chunks_do_not_matter(levels):
    rng = np.random.default_rng(1)
    values = rng.normal(0, 3, (200, 2)).astype(np.float32)
    times = np.arange(200) / 20

    def scores(sizes):
        at, items = 0, []
        for n in sizes:
            items.append(Samples(values[at : at + n], times[at : at + n], "s"))
            at += n
        return [r.prediction.scores.tobytes() for r in Pipeline(items, levels)]

    assert scores([200]) == scores([1] * 200) == scores([0, 7, 93, 0, 100])


def test_no_window_spans_a_gap(levels):
    times = np.concatenate([np.arange(50) / 20, 100 + np.arange(50) / 20])
    times[10:] += 0.05  # one lost reading is no gap
    values = np.zeros((100, 2), np.float32)
    values[50:, 0] = 3
    for cut in (100, 50, 30):
        items = [Samples(values[a:b], times[a:b]) for a, b in ((0, cut), (cut, 100)) if a < b]
        results = list(Pipeline(items, levels))
        spans = [(r.item.start, r.item.end) for r in results]
        assert all(end - start < 1.1 for start, end in spans)
        assert len(spans) == 7 + 7 + 1
        # The smoothed scores do not span it either.
        assert [e.label for r in results for e in r.events] == ["middle", "high"]
        assert results[7].prediction.label == "high"


@pytest.mark.parametrize("how", ["callback", "thread", "max_frames", "sink"])
def test_ends_early_and_cleanly(squares, clip, how):
    spy = Spy(5, Finished()) if how == "sink" else Spy()
    source = open_source(clip)
    pipeline = Pipeline(source, squares, [spy], max_frames=5 if how == "max_frames" else None)

    def look(result):
        if how == "callback" and result.item.index == 4:
            pipeline.stop()
        if how == "thread" and result.item.index == 4:
            threading.Thread(target=pipeline.stop).start()
            while not pipeline._stopped.is_set():
                sleep(0.001)

    summary = pipeline.run(look)
    assert spy.written == 5
    assert spy.closed >= 1
    if how == "sink":  # its thread says so a few frames later
        assert 6 <= summary.frames < 20
    else:
        assert summary.frames == 5
    assert not source._capture.isOpened()


def test_stopped_before_it_began_looks_at_one_frame_at_most(squares, clip):
    pipeline = Pipeline(clip, squares)
    pipeline.stop()
    assert pipeline.run().frames <= 1


def test_an_endless_source_without_windows_can_be_stopped(levels):
    def silence():
        while True:
            pipeline.stop()
            yield Samples(np.zeros((0, 2), np.float32), np.zeros(0))

    pipeline = Pipeline(silence(), levels)
    assert pipeline.run().frames == 0


def test_a_source_that_fails_is_an_error_after_all_that_came(squares, clip, tmp_path):
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 3 // 4])
    spy, out = Spy(), open_sink(str(tmp_path / "o.jsonl"))
    pipeline = Pipeline(clip, squares, [spy, out])
    with pytest.raises(SourceError, match="cut short"):
        pipeline.run()
    assert 5 < spy.written < 20
    assert spy.closed
    lines = (tmp_path / "o.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["frame"] for line in lines] == list(range(spy.written))
    assert pipeline.health.summary().dropped == 20 - spy.written


def test_lost_pictures_are_counted_to_the_end(tiny, pictures):
    (pictures / "z.png").write_text("no picture", encoding="utf-8")
    pipeline = Pipeline(pictures, tiny / "tiny-classify.edgenn")
    assert [r.prediction.label for r in pipeline] == ["green", "red", "blue"]
    assert pipeline.health.dropped == 1


def test_a_sink_that_fails_closes_the_others(squares, clip):
    first, second = Spy(), Spy(3, SinkError("full"))
    with pytest.raises(SinkError, match="full"):
        Pipeline(clip, squares, [first, second]).run()
    assert first.closed
    assert second.closed


def test_a_callback_that_fails_closes_everything(squares, clip):
    spy, source = Spy(), open_source(clip)
    with pytest.raises(ZeroDivisionError):
        Pipeline(source, squares, [spy]).run(lambda _: 1 / 0)
    assert spy.closed
    assert not source._capture.isOpened()


def test_leaving_the_block_half_way_closes_everything(squares, clip):
    spy, source = Spy(), open_source(clip)
    with Pipeline(source, squares, [spy]) as pipeline:
        next(iter(pipeline))
    assert spy.closed
    assert not source._capture.isOpened()


def test_a_source_of_the_wrong_kind_is_refused(squares, levels, clip, recording):
    pictures_wanted = r"pictures(?: are wanted)?, but .*recording\.csv delivers sensor readings"
    readings_wanted = r"sensor readings(?: are wanted)?, but .*clip\.avi delivers pictures"
    with pytest.raises(UsageError, match=pictures_wanted):
        Pipeline(recording, squares)
    with pytest.raises(UsageError, match=readings_wanted):
        Pipeline(clip, levels)
    with pytest.raises(UsageError, match=pictures_wanted):
        Pipeline(open_source(recording), squares).run()
    with pytest.raises(UsageError, match=readings_wanted):
        Pipeline(open_source(clip), levels).run()


def test_a_sensor_with_other_channels_is_refused(levels):
    items = [Samples(np.zeros((30, 3), np.float32), np.arange(30) / 20, "wrist")]
    with pytest.raises(ModelError, match="takes 2 channels per reading, wrist gives 3"):
        Pipeline(items, levels).run()


def test_the_model_says_which_columns_it_wants(levels, tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("x,z\n1,2\n", encoding="utf-8")
    with pytest.raises(SourceError, match="no column 'y'"):
        Pipeline(path, levels)


def test_any_generator_of_frames_will_do(squares, clip):
    frames = list(open_source(clip, Options()))
    assert Pipeline((f for f in frames), squares).run().frames == 20


def sampled(rate, seconds, jitter=0.0, start=0.0):
    """Samples of a stream that is low, middle and high by turns; see the recording fixture."""
    rng = np.random.default_rng(3)
    n = int(rate * seconds)
    times = start + np.sort((np.arange(n) + rng.uniform(-jitter, jitter, n)) / rate)
    x = 3 * ((times - start) // (seconds / 3) - 1)
    return Samples(np.stack([x, x * 0], 1).astype(np.float32), times, "wrist")


def cut(samples, sizes):
    at = 0
    for n in sizes:
        yield Samples(samples.values[at : at + n], samples.times[at : at + n], samples.source)
        at += n


@pytest.mark.parametrize(("rate", "level"), [(18.4, 0), (41.6, 1), (200, 1), (2, 1), (20, 0)])
def test_a_sensor_at_another_rate_is_resampled(levels, caplog, rate, level):
    results = list(Pipeline([sampled(rate, 30, 0.3)], levels))
    assert [e.label for r in results for e in r.events] == ["low", "middle", "high"]
    spans = {round(r.item.end - r.item.start, 3) for r in results}
    assert spans == {0.95}
    assert len(results) == pytest.approx((600 - 20) / 5 + 2, abs=2.5)
    warned = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warned) == level
    if level:
        assert float(warned[0].split()[2]) == pytest.approx(rate, rel=0.1)
        assert "the model was trained on 20: it is resampled" in warned[0]


def test_resampling_does_not_depend_on_chunks(levels):
    samples = sampled(46, 12, 0.4)

    def scores(sizes):
        results = Pipeline(cut(samples, sizes), levels)
        return [(r.prediction.scores.tobytes(), r.item.start, r.events) for r in results]

    n = len(samples.times)
    rng = np.random.default_rng(0)
    assert scores([n]) == scores([1] * n) == scores(rng.multinomial(n, [0.05] * 20))


def test_a_stream_at_the_rate_passes_unchanged(levels):
    samples = sampled(20.2, 12, 0.1)
    results = list(Pipeline([samples], levels))
    for r in results:
        at = int(np.flatnonzero(samples.times == r.item.start)[0])
        assert r.item.values.tobytes() == samples.values[at : at + 20].tobytes()


def test_times_in_milliseconds_give_one_warning_and_no_made_up_readings(levels, caplog):
    samples = sampled(20, 12)
    late = Samples(samples.values, samples.times * 1000, "wrist")
    pipeline = Pipeline([late], levels)
    assert pipeline.run().frames == 0
    (record,) = caplog.records
    assert "wrist has 0.02 readings a second (are its times in seconds?)" in record.getMessage()


@pytest.mark.parametrize("rate", [20, 46])
def test_bursts_of_nan_are_dropped_and_counted(levels, caplog, rate):
    samples = sampled(rate, 30)
    values, times = samples.values.copy(), samples.times.copy()
    burst = slice(len(times) // 2, len(times) // 2 + rate)
    values[burst, 1] = np.nan
    values[5, 0] = np.inf
    times[9] = np.nan
    pipeline = Pipeline(cut(Samples(values, times, "wrist"), [50] * 100), levels)
    results = list(pipeline)
    summary = pipeline.health.summary()
    assert (summary.bad, summary.gaps) == (rate + 2, 1)
    assert all(np.isfinite(r.item.values).all() for r in results)
    lost = times[burst][0]
    assert not any(r.item.start < lost < r.item.end for r in results)
    assert [e.label for r in results for e in r.events] == ["low", "middle", "middle", "high"]
    assert sum("NaN or infinite" in r.getMessage() for r in caplog.records) == 1


def test_only_bad_readings_are_no_crash(levels):
    nothing = Samples(np.full((100, 2), np.nan, np.float32), np.arange(100) / 20)
    pipeline = Pipeline([nothing], levels)
    assert pipeline.run().frames == 0
    assert pipeline.health.bad == 100


@pytest.mark.parametrize("rate", [20, 46])
def test_a_clock_that_is_set_back_cuts_the_stream(levels, rate):
    first, second = sampled(rate, 6, start=100.0), sampled(rate, 6, start=3.0)
    both = Samples(
        np.concatenate([first.values, second.values]), np.concatenate([first.times, second.times])
    )
    for items in ([first, second], [both]):
        pipeline = Pipeline(items, levels)
        results = list(pipeline)
        assert pipeline.health.gaps == 1
        assert all(0.9 < r.item.end - r.item.start < 1.1 for r in results)
        assert len(results) == 2 * ((120 - 20) // 5 + 1) + 1


def test_a_replay_with_holes_runs_to_its_end(levels, recording):
    lines = recording.read_text(encoding="utf-8").splitlines()
    lines[50] = lines[50].replace(lines[50].split(",")[1], "")
    lines[120:130] = [f"{line.split(',')[0]},nan,nan" for line in lines[120:130]]
    recording.write_text("\n".join(lines), encoding="utf-8")
    pipeline = Pipeline(recording, levels)
    results = list(pipeline)
    assert (pipeline.health.bad, pipeline.health.gaps) == (11, 1)
    assert results[-1].item.end == pytest.approx(14.95, abs=0.3)


class Slow(Spy):
    """Takes its time for each result."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.seen = seconds, []

    def write(self, result):
        sleep(self.seconds)
        self.seen.append(result.item.index)


def test_of_a_file_a_slow_sink_gets_every_frame(squares, clip):
    slow = Slow(0.02)
    summary = Pipeline(clip, squares, [slow]).run()
    assert slow.seen == list(range(20))
    ((name, (latency, dropped, failed)),) = summary.sinks.items()
    assert (name, dropped, failed) == ("test_pipeline", 0, 0)
    assert latency[0] >= 20


def test_of_a_live_source_a_slow_sink_loses_frames_and_the_model_none(squares):
    slow = Slow(0.2)
    pipeline = Pipeline("test://?size=64x48&fps=50", squares, [slow], max_frames=100)
    begun = monotonic()
    summary = pipeline.run()
    assert summary.frames == 100
    # 2 s of camera and what waits at the end, not the 20 s of the sink.
    assert monotonic() - begun < 2 + 5 + 1
    _, dropped, _ = summary.sinks["test_pipeline"]
    assert len(slow.seen) + dropped == 100
    assert slow.seen == sorted(slow.seen)


def test_of_a_live_source_a_sink_that_fails_is_tried_again(squares, caplog):
    class Broken(Spy):  # of this module, by whose name it is counted
        pass

    broken = Broken(3, SinkError("full"))
    summary = Pipeline("test://?size=64x48&fps=50", squares, [broken], max_frames=20).run()
    assert summary.frames == 20
    _, dropped, failed = summary.sinks["test_pipeline"]
    assert (broken.written, failed + dropped) == (3, 17)
    assert sum("full" in r.getMessage() for r in caplog.records) == 1


def test_pipelines_with_one_model_share_its_engine_and_nothing_else(levels, squares, clip):
    assert Pipeline(clip, squares).model.engine is squares.engine
    alone = [r.prediction.scores.tobytes() for r in Pipeline(clip, squares)]
    seen = {i: [] for i in range(4)}

    def follow(i):
        seen[i] = [r.prediction.scores.tobytes() for r in Pipeline(clip, squares)]

    threads = [threading.Thread(target=follow, args=(i,)) for i in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found == alone for found in seen.values())


def test_an_engine_that_hangs_ends_the_run_with_a_sentence(squares, clip, monkeypatch):
    monkeypatch.setattr(pipeline_module, "HUNG_S", 0.3)
    release = threading.Event()
    monkeypatch.setattr(edgenn.Model, "infer", lambda *_: release.wait(20))
    with pytest.raises(ModelError, match=r"tflite: the litert engine hangs: one inference"):
        Pipeline(clip, squares).run()
    release.set()


def test_used_again_or_fed_with_something_else_it_says_so(squares, clip):
    pipeline = Pipeline(clip, squares)
    pipeline.run()
    with pytest.raises(UsageError, match="a pipeline is used once; make another one"):
        pipeline.run()
    with pytest.raises(UsageError, match=r"delivers edgenn\.types\.Frame or Samples, not ndarray"):
        Pipeline([np.zeros((4, 4, 3), np.uint8)], squares).run()


def test_no_more_pictures_a_second_than_asked_for(squares, levels, clip, recording):
    for number in (0, -1, float("nan"), float("inf")):  # they would wait for ever
        with pytest.raises(UsageError, match="max_fps must be a finite number above 0, not"):
            Pipeline(clip, squares, max_fps=number)
    frames = [r.item.index for r in Pipeline(clip, squares, max_fps=5)]  # of 10 a second
    assert frames == list(range(0, 20, 2))
    with pytest.raises(UsageError, match=r"--max-fps is for models of single pictures"):
        Pipeline(recording, levels, max_fps=5)


def test_a_gate_of_another_name_is_refused(squares):
    with pytest.raises(UsageError, match="gate must be 'motion' or None, not 'movement'"):
        Pipeline([], squares, gate="movement")


def test_what_was_found_is_carried_on_while_nothing_moves(squares):
    def still():
        image = np.full((96, 128, 3), 20, np.uint8)
        image[16:32, 16:32] = (0, 0, 255)
        for i in range(200):
            yield edgenn.Frame(image, i / 10, i, "still")

    pipeline = Pipeline(still(), squares, gate="motion")
    results = list(pipeline)
    assert [len(r.prediction) for r in results] == [1] * 200
    assert all(r.prediction.boxes.tolist() == results[0].prediction.boxes.tolist() for r in results)
    assert pipeline.health.carried > 150


def test_sinks_that_take_their_time_to_close_take_it_at_once(squares, clip):
    class Slow(Spy):
        def close(self):
            sleep(0.5)
            super().close()

    slow = [Slow() for _ in range(4)]
    with Pipeline(clip, squares, slow) as pipeline:
        list(itertools.islice(pipeline, 3))
        begun = monotonic()
    assert monotonic() - begun < 1.5
    assert [sink.closed for sink in slow] == [1] * 4


def test_the_loop_says_that_it_lives_also_while_nothing_comes(squares):
    beats = []
    pipeline = Pipeline(
        "test://?size=64x48&fps=20&stall_at=2&stall=5",
        squares,
        on_beat=lambda _: beats.append(monotonic()),
    )
    threading.Timer(1.0, pipeline.stop).start()
    assert pipeline.run().frames == 2
    assert len(beats) > 6
    assert max(np.diff(beats)) < 0.5

from __future__ import annotations

import errno
import json
import threading
from pathlib import Path
from time import monotonic, sleep

import cv2
import numpy as np
import pytest

from edgenn.errors import SinkError, SourceError, UsageError
from edgenn.runtime import recording
from edgenn.runtime.live import Live
from edgenn.runtime.record import Recorder, open_part
from edgenn.runtime.sources import Options, Source, open_source
from edgenn.types import Samples


class Sensor(Source):
    """A live sensor of two channels at 50 readings a second, which may break off."""

    live, fps, name, channels = True, 50.0, "wrist", ("x", "y")

    def __init__(self, broken_after=10**9):
        self.dropped = 0
        self.broken_after = broken_after

    def __iter__(self):
        for i in range(self.broken_after):
            sleep(0.02)
            now = monotonic()
            yield Samples(np.array([[i, 0.1 * i]], np.float32), np.array([now]), self.name)
        raise SourceError("wrist was unplugged")

    def close(self):
        pass


def record(folder, *, duration=None, max_frames=None, **sources):
    done = Recorder(
        sources, folder, channels=("x", "y"), duration=duration, max_frames=max_frames
    ).run()
    return done, json.loads((folder / "recording.json").read_text(encoding="utf-8"))


def camera(settings="size=96x64&fps=40"):
    return open_part("video", f"test://?{settings}")[0]


def live(first, *more):
    rest = iter(more)
    return Live(lambda: next(rest), first)


def times(folder, part):
    with open_source(folder, kind={"video": "image", "sensor": "window"}[part]) as source:
        if part == "video":
            return [frame.time for frame in source]
        return np.concatenate([samples.times for samples in source]).tolist()


def test_a_camera_and_a_sensor_come_back_on_one_clock(tmp_path):
    folder = tmp_path / "r"
    done, meta = record(folder, duration=1.0, video=camera(), sensor=live(Sensor()))
    assert meta["finished"]
    assert (meta["video"]["width"], meta["video"]["height"]) == (96, 64)
    assert meta["sensor"]["channels"] == ["x", "y"]
    assert meta["counts"]["frames"] == done.frames == pytest.approx(40, abs=8)
    assert meta["counts"]["readings"] == done.readings == pytest.approx(48, abs=10)
    for part in ("video", "sensor"):
        found = times(folder, part)
        assert 0 <= found[0] < 0.2
        assert 0.8 < found[-1] <= 1.0
        assert np.all(np.diff(found) > 0)
    frames = list(open_source(folder))
    assert [f.index for f in frames][:3] == [0, 1, 2]
    assert frames[0].image.shape == (64, 96, 3)
    values = np.concatenate([s.values for s in open_source(folder, kind="window")])
    assert np.array_equal(values[:, 1], (0.1 * np.arange(len(values))).astype(np.float32))
    swapped = open_source(folder, Options(channels=("y",)), "window")
    assert np.array_equal(np.concatenate([s.values for s in swapped])[:, 0], values[:, 1])


def test_any_player_reads_the_film_with_its_times(tmp_path):
    record(tmp_path / "r", duration=1.0, video=camera())
    film = cv2.VideoCapture(str(tmp_path / "r" / "video.mkv"))
    seen = []
    while film.read()[0]:
        seen.append(film.get(cv2.CAP_PROP_POS_MSEC) / 1e3)
    stored = times(tmp_path / "r", "video")
    # Some players count from the first picture, which on a busy machine is late.
    assert 0 <= seen[0] <= stored[0] + 0.001
    assert np.diff(seen) == pytest.approx(np.diff(stored), abs=0.0015)


def test_pictures_are_as_good_as_asked_for(tmp_path):
    rng = np.random.default_rng(0)
    cv2.imwrite(
        str(tmp_path / "a.png"),
        cv2.resize(rng.integers(0, 255, (6, 8, 3)).astype(np.uint8), (160, 120)),
    )
    picture = cv2.imread(str(tmp_path / "a.png"))
    errors, sizes = [], []
    for quality in (30, 95):
        folder = tmp_path / str(quality)
        source = open_source(tmp_path / "a.png")
        Recorder({"video": source}, folder, quality=quality).run()
        (frame,) = open_source(folder)
        errors.append(np.abs(frame.image.astype(int) - picture).mean())
        sizes.append((folder / "video.mkv").stat().st_size)
    assert errors[1] < errors[0]
    assert sizes[1] > sizes[0]


def test_both_break_off_and_come_back_and_the_gap_is_kept(tmp_path):
    folder = tmp_path / "r"
    video = camera("size=64x64&fps=40&fail_at=8")
    sensor = live(Sensor(broken_after=10), Sensor())
    done, meta = record(folder, duration=1.6, video=video, sensor=sensor)
    assert done.gaps == meta["counts"]["gaps"] >= 2
    film = open_source(folder)
    connections = [(f.index, f.time, film.connection) for f in film]
    first = next(i for i, c in enumerate(connections) if c[2])
    assert first == 8
    assert connections[8][1] - connections[7][1] > 0.2
    readings = open_source(folder, kind="window")
    before = sum(len(s.times) for s in readings if not readings.connection)
    assert before == 10


@pytest.mark.parametrize("part", ["video", "sensor"])
def test_what_is_there_after_a_crash_is_replayed_with_a_warning(part, tmp_path, caplog):
    folder = tmp_path / "r"
    source = {"video": camera, "sensor": lambda: live(Sensor())}[part]()
    record(folder, duration=0.6, **{part: source})
    whole = times(folder, part)
    assert not caplog.text
    meta = json.loads((folder / "recording.json").read_text(encoding="utf-8"))
    del meta["counts"]
    (folder / "recording.json").write_text(json.dumps({**meta, "finished": False}))
    name = {"video": "frames.csv", "sensor": "sensor.csv"}[part]
    rows = (folder / name).read_bytes()
    for cut in (rows[:-3], rows + b"3.14,0", rows + bytes(4096), rows + b"1,2,3"):
        (folder / name).write_bytes(cut)
        caplog.clear()
        assert times(folder, part) == whole[: len(whole) - (cut == rows[:-3])]
        assert "was cut off at line" in caplog.text
    (folder / name).write_bytes(rows)
    if part == "video":
        film = (folder / "video.mkv").read_bytes()
        for cut in (film[:-20], film[:-50] + bytes(50)):
            (folder / "video.mkv").write_bytes(cut)
            assert times(folder, part) == whole[:-1]
        assert "was cut off at frame" in caplog.text


def test_rows_are_in_the_file_while_it_is_recorded(tmp_path):
    folder = tmp_path / "r"
    recorder = Recorder({"video": camera()}, folder)
    thread = threading.Thread(target=recorder.run)
    thread.start()
    try:
        until = monotonic() + 5
        while recorder.so_far().frames < 5:
            assert monotonic() < until
            sleep(0.01)
        assert len(times(folder, "video")) >= 4
        assert not recording.read_meta(folder)["finished"]
    finally:
        recorder.stop()
        thread.join(10)
    assert recording.read_meta(folder)["finished"]


def test_a_finished_recording_that_is_damaged_is_refused(tmp_path):
    folder = tmp_path / "r"
    record(folder, max_frames=5, video=camera())
    film = (folder / "video.mkv").read_bytes()
    (folder / "video.mkv").write_bytes(film[:-20])
    with pytest.raises(SourceError, match="is damaged: frame 4 cannot be read"):
        list(open_source(folder))
    for text, message in (("{", "cannot be read"), ('{"schema": 9}', "not of schema 1")):
        (folder / "recording.json").write_text(text)
        with pytest.raises(SourceError, match=message):
            open_source(folder)


def test_a_source_that_gives_up_ends_it_and_keeps_what_came(tmp_path):
    folder = tmp_path / "r"
    sensor = Live(lambda: Sensor(0), Sensor(5), retries=0)
    with pytest.raises(SourceError, match="unplugged"):
        record(folder, video=camera(), sensor=sensor)
    meta = recording.read_meta(folder)
    assert meta["finished"]
    assert meta["counts"]["readings"] == 5


def test_a_full_disk_is_an_error_and_leaves_a_recording(tmp_path, monkeypatch):
    folder = tmp_path / "r"
    real = recording.MjpegWriter.add

    def add(self, jpeg, time):
        if self.position > 10_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, jpeg, time)

    monkeypatch.setattr(recording.MjpegWriter, "add", add)
    with pytest.raises(SinkError, match=r"cannot write .*: No space left .* is kept"):
        record(folder, video=camera())
    assert not recording.read_meta(folder)["finished"]
    assert len(times(folder, "video")) > 3


def test_drops_are_counted(tmp_path, monkeypatch):
    real = recording.RecordingWriter.add_frame

    def slow(self, frame, time):
        sleep(0.1)
        real(self, frame, time)

    monkeypatch.setattr(recording.RecordingWriter, "add_frame", slow)
    _, meta = record(tmp_path / "r", duration=1.0, video=camera())
    assert meta["counts"]["dropped"]["video"] > 10
    frames = list(open_source(tmp_path / "r"))
    assert frames[-1].index > len(frames) + 10


def test_channels_without_names_get_numbers(tmp_path):
    Recorder({"sensor": live(Sensor())}, tmp_path / "r", max_frames=3).run()
    assert recording.read_meta(tmp_path / "r")["sensor"]["channels"] == ["channel0", "channel1"]
    assert len(times(tmp_path / "r", "sensor")) == 3


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SinkError, match="is not empty; record into a new folder"):
        record(tmp_path, video=camera())
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_files_are_recorded_by_their_own_time_but_not_beside_a_camera(clip, recording, tmp_path):
    sources = {"video": open_source(clip), "sensor": open_source(recording)}
    Recorder(sources, tmp_path / "r", channels=sources["sensor"].channels).run()
    assert times(tmp_path / "r", "video") == [f.time for f in open_source(clip)]
    assert times(tmp_path / "r", "sensor")[-1] == 299 / 20
    with open_source(recording) as file, pytest.raises(UsageError, match="no common clock"):
        Recorder({"video": camera(), "sensor": file}, tmp_path / "q")
    assert not Path(tmp_path / "q").exists()


def test_what_is_no_sensor_or_has_nothing_of_the_kind(tmp_path):
    with pytest.raises(UsageError, match=r"are wanted, but test://.* delivers pictures"):
        open_part("sensor", "test://?fps=10")
    record(tmp_path / "r", max_frames=2, video=camera())
    with pytest.raises(UsageError, match=r"sensor readings are wanted, but .* delivers pictures"):
        open_source(tmp_path / "r", kind="window")

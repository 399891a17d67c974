from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from time import sleep

import cv2
import numpy as np
import pytest

from edgenn.cli import _web, main

EDGENN = [sys.executable, "-m", "edgenn"]


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs ``edgenn run`` in this process: exit code, standard output, standard error."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["edgenn", "run", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.fixture
def squares(tiny):
    return tiny / "tiny-detect.edgenn"


@pytest.fixture
def levels(tiny):
    return tiny / "tiny-sequence.edgenn"


def finish(command, stdout):
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )


def sentence(err: str) -> str:
    """The one line that a user's mistake gives."""
    (line,) = err.strip().splitlines()
    assert line.startswith("edgenn: ")
    return line


def test_everything_at_once(run, squares, clip, tmp_path):
    out, save = tmp_path / "o.jsonl", tmp_path / "o.mp4"
    code, stdout, err = run(
        squares, "--source", clip, "--out", out, "--save", save, "--max-frames", 12, "--threads", 1
    )
    assert (code, stdout) == (0, "")
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [line["frame"] for line in lines] == list(range(12))
    assert [d["label"] for d in lines[11]["detections"]] == ["red", "blue"]
    assert {line["source"] for line in lines} == {str(clip)}
    assert cv2.VideoCapture(str(save)).get(cv2.CAP_PROP_FRAME_COUNT) == 12
    assert re.search(r"^12 frames in \d+\.\d s \(\d+\.\d per second\), 0 dropped$", err, re.M)
    assert re.search(r"^latency p50/p95/p99 in ms: capture .*, total [\d./]+$", err, re.M)


def test_a_broker_and_a_server_that_are_away_change_nothing(
    run, squares, clip, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr("edgenn.runtime.sinks.webhook._FIRST_PAUSE_S", 10.0)  # later than the end
    buffer = tmp_path / "buffer"
    args = ["--mqtt", "mqtt://me:secret@127.0.0.1:9/a", "--mqtt-buffer", buffer]
    args += ["--out", tmp_path / "o.jsonl", "--out-max-mb", "0.002"]
    code, _, err = run(squares, "--source", clip, *args, "--webhook", "http://127.0.0.1:9/")
    assert code == 0
    assert "20 frames in" in err
    (spool,) = buffer.glob("*.spool")
    _, *lines = spool.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["frame"] for line in lines] == list(range(20))
    assert (tmp_path / "o.jsonl.1").exists()
    assert "webhook http://127.0.0.1:9: 0 results delivered, 0 dropped, 2 failed" in caplog.text
    assert "secret" not in caplog.text + err


def test_a_person_sees_changes_not_frames(run, squares, clip):
    code, out, _ = run(squares, "--source", clip)
    assert code == 0
    assert out.splitlines() == ["    0.00 s  1 red", "    1.00 s  1 blue, 1 red"]


def test_a_person_sees_a_line_for_every_picture(run, tiny, pictures):
    (pictures / "shot11.png").write_bytes((pictures / "shot10.png").read_bytes())
    _, out, _ = run(tiny / "tiny-classify.edgenn", "--source", pictures)
    names = ["shot1.png  green", "shot2.png  red", "shot10.png  blue", "shot11.png  blue"]
    assert len(out.splitlines()) == 4
    for line, name in zip(out.splitlines(), names, strict=True):
        assert name in line


def test_a_recording(run, levels, recording):
    code, out, err = run(levels, "--sensor", recording)
    assert code == 0
    assert [line.split()[2] for line in out.splitlines()] == ["low", "middle", "high"]
    assert "57 windows in" in err


def test_standard_output_holds_json_alone(run, levels, recording):
    code, out, _ = run(levels, "--sensor", recording, "--out", "-", "--engine", "onnx")
    assert code == 0
    events = [e["label"] for line in out.splitlines() for e in json.loads(line).get("events", [])]
    assert events == ["low", "middle", "high"]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_variant_can_be_chosen(run, squares, clip, caplog, precision):
    with caplog.at_level("INFO", "edgenn"):
        code, _, _ = run(squares, "--source", clip, "--precision", precision, "--engine", "onnx")
    assert code == 0
    assert f"tiny-detect: onnx {precision}" in caplog.text


def test_thresholds(run, squares, clip):
    _, out, _ = run(squares, "--source", clip, "--conf", "1.0")
    assert out.split() == ["0.00", "s", "nothing"]


@pytest.mark.parametrize(
    ("args", "message", "code"),
    [
        ([], "exactly one of --camera, --source and --sensor", 2),
        (["--source", "{clip}", "--camera", "0"], "exactly one of --camera, --source", 2),
        (["--camera", "97"], "there is no camera /dev/video97; there is ", 7),
        (["--source", "missing.mp4"], "no video or other source at missing.mp4", 7),
        (["--source", "{empty}"], "has no pictures in it", 7),
        (["--source", "{text}"], "cannot be opened as a video: it is none", 7),
        (["--sensor", "{recording}"], "pictures are wanted, but {recording} delivers sensor", 2),
        (["--source", "{recording}"], "pictures are wanted, but {recording} delivers sensor", 2),
        (["--source", "{clip}", "--save", "o.gif"], "cannot write o.gif: name it .mp4", 8),
        (["--source", "{clip}", "--out", "no/o.jsonl"], "cannot write no/o.jsonl", 8),
        (["--source", "{clip}", "--save", "{clip}"], "{clip} is what is read", 2),
        (["--source", "{clip}", "--save", "o.avi", "--out", "./o.avi"], "both name ./o.avi", 2),
        (["--source", "{clip}", "--sensor", "rtsp://a:b@h/1"], "but rtsp://h/1 delivers pict", 2),
        (["--source", "mqtt://me:secret@host/1"], "but mqtt://host/1 delivers sensor", 2),
        (["--source", "{blank}"], "blank.mp4 is empty", 7),
        (["--source", "/dev/null"], "/dev/null is no file", 7),
        (["--source", "{clip}", "--conf", "7"], "--conf must lie between 0 and 1, not 7", 2),
        (["--source", "{clip}", "--precision", "fp16"], "has no fp16 variant", 2),
        (["--source", "{clip}", "--size", "640x480"], "--size is for cameras, --fps for", 2),
        (["--source", "{clip}", "--fps", "5"], "--size is for cameras, --fps for cameras and", 2),
        (["--source", "{clip}", "--out-max-mb", "1"], "--out-max-mb is of no use without --out", 2),
        (["--source", "{clip}", "--out", "-", "--out-max-mb", "1"], "--out-max-mb needs a file", 2),
        (["--source", "{clip}", "--web-token", "x" * 12], "--web-token is of no use without", 2),
        (["--source", "{clip}", "--mqtt-buffer", "b"], "--mqtt-buffer is of no use without", 2),
        (["--source", "{clip}", "--mqtt", "host/a"], "--mqtt wants mqtt[s]://", 2),
        (["--source", "{clip}", "--mqtt", ""], "--mqtt wants mqtt[s]://", 2),
        (["--source", "{clip}", "--webhook", "host/a"], "--webhook wants an address", 2),
        (["--source", "{clip}", "--retries", "3"], "--retries is for cameras and streams", 2),
        (["--source", "test://?fps=30&colour=1"], "no setting 'colour'", 7),
        (["--source", "{clip}", "--show"], "cannot show a window: there is no desktop", 8),
    ],
)
def test_mistakes_get_one_sentence(
    run, squares, clip, recording, tmp_path, monkeypatch, args, message, code
):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video", encoding="utf-8")
    paths = {
        "clip": clip,
        "recording": recording,
        "empty": tmp_path / "empty",
        "text": tmp_path / "text.mp4",
        "blank": tmp_path / "blank.mp4",
    }
    paths["blank"].touch()
    before = clip.read_bytes()
    found, out, err = run(squares, *(a.format(**paths) for a in args))
    assert (found, out) == (code, "")
    assert message.format(**paths) in sentence(err)
    assert clip.read_bytes() == before


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--source", ""], "'--source': it is empty"),
        (["--source", "{clip}", "--out", " "], "'--out': it is empty"),
        (["--source", "{clip}", "--max-fps", "nan"], "nan is not a finite number"),
        (["--source", "{clip}", "--max-fps", "inf"], "inf is not a finite number"),
        (["--source", "{clip}", "--out", "o", "--out-max-mb", "inf"], "inf is not a finite"),
        (["--source", "{clip}", "--threads", "100000"], "not in the range 0<=x<=256"),
    ],
)
def test_values_that_are_none_are_refused_by_the_name_of_their_flag(
    run, squares, clip, args, message
):
    code, out, err = run(squares, *(a.format(clip=clip) for a in args))
    assert (code, out) == (2, "")
    assert message in err


def test_a_refused_run_leaves_the_results_of_an_earlier_one(run, squares, clip, tmp_path):
    kept, made = tmp_path / "kept.jsonl", tmp_path / "made.jsonl"
    kept.write_text("results\n", encoding="utf-8")
    for out in (kept, made):
        # Found out only once the outputs are open.
        code, _, err = run(squares, "--source", clip, "--out", out, "--latency-budget", "5")
        assert code == 2, err
    assert kept.read_text(encoding="utf-8") == "results\n"
    assert not made.exists()
    assert run(squares, "--source", clip, "--out", kept)[0] == 0
    assert len(kept.read_text(encoding="utf-8").splitlines()) == 20


def test_a_sensor_file_beside_a_video_is_not_written_to(run, squares, clip, recording):
    before = recording.read_bytes()
    code, _, err = run(squares, "--source", clip, "--sensor", recording, "--out", recording)
    assert code == 2
    assert "is what is read" in sentence(err)
    assert recording.read_bytes() == before


def test_a_recording_too_short_for_a_window_says_so(run, levels, recording, caplog):
    lines = recording.read_text(encoding="utf-8").splitlines()
    recording.write_text("\n".join(lines[:3]), encoding="utf-8")
    code, _, err = run(levels, "--sensor", recording)
    assert code == 0
    assert "0 windows in" in err
    assert "recording.csv never had the " in err + caplog.text


def test_sequence_models_have_nothing_to_show(run, levels, recording, tmp_path):
    code, _, err = run(levels, "--sensor", recording, "--save", tmp_path / "o.mp4")
    assert code == 2
    assert "--save and --show need pictures; tiny-sequence takes sensor" in sentence(err)


def test_a_sensor_needs_a_model_of_its_own(run, recording):
    code, _, err = run("--sensor", recording)
    assert code == 2
    assert "--sensor needs a MODEL" in sentence(err)


def test_a_sensor_beside_a_video(run, squares, clip, recording, tmp_path):
    text = recording.rename(tmp_path / "recording.txt")  # --sensor takes any file for CSV
    code, out, _ = run(squares, "--source", clip, "--sensor", text, "--out", "-")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [len(line["readings"]["times"]) for line in lines] == [1] + [2] * 19


def test_a_video_beside_a_sensor(run, levels, clip, recording):
    code, out, err = run(levels, "--source", clip, "--sensor", recording)
    assert code == 0
    assert [line.split()[2] for line in out.splitlines()] == ["low", "middle", "high"]
    assert "57 windows in" in err


def test_a_live_sensor_beside_a_video_is_refused(run, squares, clip):
    code, _, err = run(squares, "--source", clip, "--sensor", "udp://127.0.0.1:0")
    assert code == 2
    assert "is live and" in sentence(err)


@pytest.mark.parametrize("size", ["640", "640x", "x480", "640x480x3", "axb"])
def test_a_size_is_two_numbers(run, squares, size):
    code, _, err = run(squares, "--camera", "0", "--size", size)
    assert code == 2
    assert f"{size!r} is not WIDTHxHEIGHT" in err


def test_a_video_that_breaks_off_fails_after_what_it_had(run, squares, clip, tmp_path):
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 3 // 4])
    out, save = tmp_path / "o.jsonl", tmp_path / "o.avi"
    code, _, err = run(squares, "--source", clip, "--out", out, "--save", save)
    assert code == 7
    assert "is cut short" in err.splitlines()[-1]
    frames = len(out.read_text(encoding="utf-8").splitlines())
    assert 5 < frames < 20
    assert f"{frames} frames in" in err
    assert cv2.VideoCapture(str(save)).get(cv2.CAP_PROP_FRAME_COUNT) == frames


def test_a_live_source_that_fails_comes_back_and_is_counted(run, squares, tmp_path):
    out = tmp_path / "o.jsonl"
    text = "test://?size=128x96&fps=100&fail_at=8"
    code, _, err = run(squares, "--source", text, "--max-frames", 12, "--out", out)
    assert code == 0
    assert "the source failed and came back: 1" in err
    frames = [json.loads(line)["frame"] for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(frames) == 12
    assert frames == sorted(set(frames))


def test_a_live_source_may_be_given_up(run, squares):
    text = "test://?size=128x96&fps=100&fail_at=8"
    code, _, err = run(squares, "--source", text, "--retries", 0)
    assert code == 7
    assert "fails at frame 8" in err


def test_a_recording_with_a_bad_line_fails_naming_it(run, levels, recording):
    lines = recording.read_text(encoding="utf-8").splitlines()
    lines[200] = "9.95,x,1"
    recording.write_text("\n".join(lines), encoding="utf-8")
    code, out, err = run(levels, "--sensor", recording, "--out", "-")
    assert code == 7
    assert "line 201: y 'x' is not a number" in err.splitlines()[-1]
    assert len(out.splitlines()) > 20


def test_libraries_below_keep_quiet(squares, clip):
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 3 // 4])
    command = [*EDGENN, "run", str(squares), "--source", str(clip), "--out", os.devnull]
    done = finish(command, stdout=subprocess.PIPE)
    kinds = [line.split()[0] for line in done.stderr.splitlines()]
    assert kinds[0] == "INFO"
    assert kinds[-1] == "edgenn:"
    assert "latency" in kinds[-3:-1]
    assert len(kinds) <= 5


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_cleanly(squares, tmp_path, number):
    source, out, save = (tmp_path / name for name in ("long.avi", "o.jsonl", "o.mp4"))
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"MJPG"), 10, (128, 96))
    for _ in range(8000):
        writer.write(np.zeros((96, 128, 3), np.uint8))
    writer.release()
    command = [*EDGENN, "run", squares, "--source", source, "--out", out, "--save", save]
    with subprocess.Popen([str(c) for c in command], stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (out.exists() and out.stat().st_size):
            sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    lines = out.read_text(encoding="utf-8").splitlines()
    assert 0 < len(lines) < 8000
    assert json.loads(lines[-1])["frame"] == len(lines) - 1
    assert re.search(rf"^{len(lines)} frames? in", err, re.M)
    assert cv2.VideoCapture(str(save)).get(cv2.CAP_PROP_FRAME_COUNT) == len(lines)


@pytest.mark.usefixtures("heeded")
def test_a_terminal_that_is_gone_does_not_cost_the_video(squares, tmp_path):
    out, save = tmp_path / "o.jsonl", tmp_path / "o.mp4"
    source = "test://?size=64x48&fps=10&frames=100000"
    command = [*EDGENN, "run", squares, "--source", source, "--out", out, "--save", save]
    ours, theirs = os.openpty()
    with subprocess.Popen([str(c) for c in command], stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        while process.poll() is None and not (out.exists() and out.stat().st_size):
            sleep(0.01)
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=30) == 0
    lines = len(out.read_text(encoding="utf-8").splitlines())
    assert cv2.VideoCapture(str(save)).get(cv2.CAP_PROP_FRAME_COUNT) == lines


@pytest.mark.parametrize("out", [["--out", "-"], []])
def test_a_reader_that_has_enough_ends_the_run(squares, clip, out):
    reading, writing = os.pipe()
    os.close(reading)
    command = [*EDGENN, "run", str(squares), "--source", str(clip), *out]
    done = finish(command, stdout=writing)
    os.close(writing)
    assert done.returncode == 0
    # It is told by another thread, which a few frames do not wait for.
    assert int(done.stderr.split(" frame")[0].split()[-1]) < 20
    assert "Error" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize("out", [["--out", "-"], []])
def test_a_full_disk_is_said_once(squares, clip, out):
    command = [*EDGENN, "run", str(squares), "--source", str(clip), *out]
    with open("/dev/full", "w") as full:  # noqa: PTH123  a device, handed on as it is
        done = finish(command, stdout=full)
    assert done.returncode == 8
    assert done.stderr.splitlines()[-1].startswith("edgenn: cannot write standard output: No space")
    assert done.stderr.count("No space") == 1


def test_a_recording_with_holes_and_of_another_rate(run, levels, recording):
    head, *lines = recording.read_text(encoding="utf-8").splitlines()
    lines = lines[::2]  # 10 readings a second in place of 20
    lines[20:23] = [f"{line.split(',')[0]},nan," for line in lines[20:23]]
    recording.write_text("\n".join([head, *lines]), encoding="utf-8")
    code, out, err = run(levels, "--sensor", recording)
    assert code == 0
    # The gap ends an event.
    assert [line.split()[2] for line in out.splitlines()] == ["low", "low", "middle", "high"]
    assert "bad readings dropped: 3, gaps in the stream: 1" in err


@pytest.mark.parametrize(
    ("row", "message"),
    [("9,oops,1", "line 22: y 'oops' is not a number"), ("9,1", "line 22: x is missing")],
)
def test_a_recording_that_is_none(run, levels, recording, row, message):
    lines = recording.read_text(encoding="utf-8").splitlines()
    lines[21] = row
    recording.write_text("\n".join(lines), encoding="utf-8")
    code, _, err = run(levels, "--sensor", recording)
    assert code == 7
    assert message in err
    assert "Traceback" not in err


def test_the_web_page_of_a_run(squares, tmp_path):
    # Nobody reads standard output until the page was looked at, so the run is not over before.
    command = [*EDGENN, "run", squares, "--source", tmp_path / "long", "--out", "-", "--web", "0"]
    (tmp_path / "long").mkdir()
    for i in range(600):
        cv2.imwrite(str(tmp_path / "long" / f"{i:03}.png"), np.zeros((96, 128, 3), np.uint8))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            lines = iter(process.stderr.readline, b"")
            said = rb"web page at (http://127\.0\.0\.1:\d+/)\n"
            url = next(found[1].decode() for line in lines if (found := re.fullmatch(said, line)))
            for _ in range(100):
                live = json.loads(page(url + "live.json"))
                if live["frames"]:
                    break
                sleep(0.05)
            assert (live["model"], live["picture"]) == ("tiny-detect", True)
            assert live["dropped"] == {"source": 0, "jsonl": 0}
            assert page(url + "readyz") == b"ok\n"
            assert page(url + "card.md") == b"This model has no card.\n"
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
            assert process.returncode == 0
        finally:
            process.kill()


def page(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read()


def test_the_page_on_all_addresses_prints_its_token_unless_it_was_given(run, squares, clip):
    where = ("--source", clip, "--web", "0.0.0.0:0")
    code, _, err = run(squares, *where)
    assert code == 0
    assert re.search(r"^web page at http://0\.0\.0\.0:\d+/\?token=[\w-]{32,}$", err, re.M)
    _, _, err = run(squares, *where, "--web-token", "never-to-be-shown")
    assert "never-to-be-shown" not in err


def test_the_card_of_a_built_in_model_is_on_its_page():
    found = _web._card("person")
    assert found.startswith("# person\n")


def test_a_web_address_that_is_none(run, squares, clip):
    code, _, err = run(squares, "--source", clip, "--web", "here")
    assert code == 2
    assert "'here' is not [HOST:]PORT" in sentence(err)


def test_the_help_has_its_options_in_sections(run):
    code, text, _ = run("--help")
    assert code == 0
    sections = re.findall(r"^(\S.*):$", text, re.M)
    assert sections[:3] == ["Options", "Source", "Model files from elsewhere"]
    assert text.index("Source:") < text.index("--camera") < text.index("Outputs:")
    assert text.index("Outputs:") < text.index("--mqtt URL") < text.index("Trust and updates:")

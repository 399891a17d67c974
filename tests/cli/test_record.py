from __future__ import annotations

import json
import signal
import subprocess
import sys
from time import monotonic, sleep

import pytest

from edgenn.cli import main

EDGENN = [sys.executable, "-m", "edgenn"]


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs ``edgenn`` in this process: exit code, standard output, standard error."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["edgenn", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.fixture
def squares(tiny):
    return tiny / "tiny-detect.edgenn"


def test_record_run_and_replay(run, squares, tmp_path):
    folder, out = tmp_path / "r", tmp_path / "o.jsonl"
    code, _, err = run(
        "record", "--source", "test://?size=128x96&fps=30", "--out", folder, "--duration", 0.7
    )
    assert code == 0
    assert "frames in 0." in err
    assert "0 dropped" in err
    assert run("run", squares, "--source", folder, "--out", out)[0] == 0
    for more in ([], ["--realtime"]):
        code, text, _ = run("replay-test", folder, squares, "--expect", out, *more)
        assert (code, "as expected" in text) == (0, True)


def test_a_sensor_recording_by_its_folder(run, tiny, recording, tmp_path):
    folder, model = tmp_path / "r", tiny / "tiny-sequence.edgenn"
    assert run("record", "--sensor", recording, "--out", folder)[0] == 0
    code, text, _ = run("run", model, "--sensor", folder)
    assert code == 0
    assert [line.split()[2] for line in text.splitlines()] == ["low", "middle", "high"]
    expect = tmp_path / "e.jsonl"
    assert run("run", model, "--sensor", recording, "--out", expect)[0] == 0
    assert run("replay-test", folder, model, "--expect", expect)[0] == 0


def test_camera_and_sensor_of_a_recording_are_replayed_together(
    run, squares, clip, recording, tmp_path
):
    folder, outs = tmp_path / "r", [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    assert run("record", "--source", clip, "--sensor", recording, "--out", folder)[0] == 0
    for out, more in zip(outs, ([], ["--realtime"]), strict=True):
        assert (
            run("run", squares, "--source", folder, "--sensor", folder, "--out", out, *more)[0] == 0
        )
    seen = [
        [(line["frame"], line["detections"], line["readings"]) for line in map(json.loads, text)]
        for text in (out.read_text().splitlines() for out in outs)
    ]
    assert seen[0] == seen[1]
    # 20 readings a second beside 10 frames, each reading once.
    counts = [len(readings["times"]) for _, _, readings in seen[0]]
    assert counts == [1] + [2] * 19


def test_a_difference_is_shown_and_gives_11_until_it_is_taken_over(run, tiny, recording, tmp_path):
    expect, model = tmp_path / "e.jsonl", tiny / "tiny-sequence.edgenn"
    assert run("replay-test", recording, model, "--expect", expect, "--update")[0] == 0
    good = expect.read_text(encoding="utf-8")
    assert run("replay-test", recording, model, "--expect", expect)[0] == 0
    lines = [json.loads(line) for line in good.splitlines()]
    with_event = next(i for i, line in enumerate(lines) if "events" in line)
    lines[with_event]["events"][0]["end"] += 0.3
    expect.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    code, out, err = run("replay-test", recording, model, "--expect", expect)
    assert code == 11
    assert f"line {with_event + 1}, event" in out
    assert "differs" in err
    assert f"in 1 events and 0 of {len(lines)} lines" in err
    more = ["--expect", expect, "--tolerance", 0.5]
    assert run("replay-test", recording, model, *more)[0] == 0
    assert run("replay-test", recording, model, "--expect", expect, "--update")[0] == 0
    assert expect.read_text(encoding="utf-8") == good


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_cleanly(tmp_path, number):
    folder = tmp_path / "r"
    command = [*EDGENN, "record", "--source", "test://?fps=30", "--out", folder]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until = monotonic() + 20
    while not (folder / "frames.csv").exists() or len((folder / "frames.csv").read_bytes()) < 200:
        assert monotonic() < until
        sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "0 dropped" in err
    assert json.loads((folder / "recording.json").read_text())["finished"]


def test_what_a_kill_leaves_is_replayed(run, squares, tmp_path, caplog):
    folder = tmp_path / "r"
    command = [*EDGENN, "record", "--source", "test://?size=128x96&fps=30", "--out", folder]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    until = monotonic() + 20
    while not (folder / "frames.csv").exists() or len((folder / "frames.csv").read_bytes()) < 200:
        assert monotonic() < until
        sleep(0.05)
    process.kill()
    process.wait()
    assert not json.loads((folder / "recording.json").read_text())["finished"]
    code, _, err = run("run", squares, "--source", folder)
    assert code == 0
    assert int(err.split(" frames in")[0].split()[-1]) >= 4
    assert "was not finished" in caplog.text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["record"], "give --camera or --source, --sensor, or both"),
        (["record", "--camera", "0", "--source", "a"], "give one of --camera and --source"),
        (["record", "--source", "a", "--realtime"], "--realtime is for the replay"),
        (["run", "--source", "test://?fps=9", "--realtime"], "--realtime is for files"),
    ],
)
def test_flags_that_make_no_sense(run, tmp_path, args, message):
    more = ["--out", tmp_path / "r"] if args[0] == "record" else []
    code, _, err = run(*args, *more)
    assert code == 2
    assert message in err


def test_a_live_source_is_no_replay(run, squares, tmp_path):
    args = ["replay-test", "test://?fps=9", squares, "--expect", tmp_path / "e", "--update"]
    code, _, err = run(*args)
    assert code == 2
    assert "is live, and never the same twice" in err

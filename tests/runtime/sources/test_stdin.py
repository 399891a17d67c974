from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from time import monotonic, sleep


def run(*args, feed, tmp_path, pause=0.0):
    out = tmp_path / "o.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "edgenn", "run", *args, "--sensor", "-", "--out", out],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    for part in feed:
        process.stdin.write(part)
        process.stdin.flush()
        sleep(pause)
    _, err = process.communicate(timeout=60)
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return process.returncode, lines, err.decode()


def test_a_recording_through_a_pipe_gives_the_same_as_the_file(tiny, recording, tmp_path):
    model = tiny / "tiny-sequence.edgenn"
    code, piped, err = run(model, feed=[recording.read_bytes()], tmp_path=tmp_path)
    assert code == 0, err
    command = [sys.executable, "-m", "edgenn", "run", model, "--sensor", recording]
    subprocess.run([*command, "--out", tmp_path / "f.jsonl"], check=True, capture_output=True)
    file = [json.loads(s) for s in (tmp_path / "f.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["labels"] for line in piped] == [line["labels"] for line in file]
    events = [[e["label"] for line in run for e in line.get("events", [])] for run in (piped, file)]
    assert events == [["low", "middle", "high"]] * 2
    assert {line["source"] for line in piped} == {"stdin"}


def test_the_watch_reads_what_another_program_writes(tmp_path):
    before = monotonic()
    header = b"time_ms,ax,ay,az,wx,wy,wz\n"
    rows = [f"{20 * i},0,0,1,0,0,0\n".encode() for i in range(150)]
    code, lines, err = run(
        "watch", feed=[b"booting...\n", header, *rows], tmp_path=tmp_path, pause=0.02
    )
    assert code == 0, err
    assert len(lines) == 150 // 4
    assert {line["labels"][0]["label"] for line in lines[5:]} == {"none"}
    assert before < lines[-1]["time"] < monotonic()
    assert all(abs(b["time"] - a["time"] - 0.08) < 0.001 for a, b in pairwise(lines))


def test_input_that_holds_no_readings_is_a_failure(tmp_path):
    command = [sys.executable, "-m", "edgenn", "run", "watch", "--sensor", "-", "--retries", "0"]
    done = subprocess.run(
        command, input=b"hello {}\n", capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 7
    assert b"stdin delivers no readings, but lines as 'hello {}'" in done.stderr

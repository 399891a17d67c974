"""The short pass: what the device has, a hundred frames, a camera that comes back, a sensor."""

from __future__ import annotations

import json
from pathlib import Path

from _guest import (
    OUT,
    TINY,
    check,
    edgenn,
    info,
    leave,
    lines,
    started,
    sysfs,
    until,
    vivid,
    want,
)
from _imu import STILL, mpu6050

bus = -1
with check("drivers of camera and bus load"):
    vivid()
    bus = mpu6050()

with check("edgenn doctor sees the camera, its modes and the bus"):
    told = json.loads(edgenn("doctor", "--json").stdout)
    (OUT / "doctor.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    cameras = told["cameras"]
    want([c["path"] for c in cameras] == ["/dev/video0"], cameras)
    want("vivid" in cameras[0]["name"], cameras)
    info(f"doctor: {len(cameras[0]['modes'])} modes, {cameras[0]['modes'][:2]}")
    want(cameras[0]["modes"], "no modes")
    want("SMBus stub driver" in json.dumps(told["devices"]), told["devices"])

with check("edgenn sources lists them"):
    text = edgenn("sources").stdout
    want("--camera /dev/video0" in text and "vivid" in text, text)
    want(f"--sensor i2c://{bus}/CHIP" in text, text)

with check("100 frames of the camera"):
    log = OUT / "hundred.jsonl"
    done = edgenn(
        "run",
        str(TINY / "tiny-detect.edgenn"),
        "--camera",
        "0",
        "--max-frames",
        "100",
        "--size",
        "640x360",
        "--out",
        str(log),
    )
    want(len(lines(log)) == 100, len(lines(log)))
    info(f"run: {done.stderr.strip().splitlines()[-1]}")

with check("a camera that is unplugged is opened again when it returns"):
    log = OUT / "unplugged.jsonl"
    with started(
        "run",
        str(TINY / "tiny-detect.edgenn"),
        "--camera",
        "0",
        "--size",
        "640x360",
        "--out",
        str(log),
        name="unplugged",
    ) as run:
        until(lambda: len(lines(log)) > 20, "20 results")
        sysfs("/sys/bus/platform/drivers/vivid/unbind", "vivid.0")
        want(not Path("/dev/video0").exists(), "/dev/video0 is still there")
        until(lambda: "no camera" in (OUT / "unplugged.log").read_text(), "a word about it")
        before = len(lines(log))
        sysfs("/sys/bus/platform/drivers/vivid/bind", "vivid.0")
        took = until(lambda: len(lines(log)) > before + 20, "20 results after the return")
        info(f"20 results {took:.1f} s after the return")
        run.terminate()
        want(run.wait(30) == 0, f"ended with {run.returncode}")

with check("a sensor on I2C: readings in their units"):
    folder = OUT / "recorded"
    edgenn(
        "record",
        "--sensor",
        f"i2c://{bus}/mpu6050?rate=50",
        "--out",
        str(folder),
        "--duration",
        "3",
    )
    rows = next(folder.rglob("*.csv")).read_text(encoding="utf-8").splitlines()
    info(f"record: {len(rows) - 1} readings, {rows[0]}, {rows[1]}")
    want(len(rows) > 100, rows[:3])
    values = dict(zip(rows[0].split(","), map(float, rows[1].split(",")), strict=True))
    want(all(abs(values[name] - value) < 0.01 for name, value in STILL.items()), values)

with check("a model on the sensor"):
    log = OUT / "watch.jsonl"
    edgenn(
        "run", "watch", "--sensor", f"i2c://{bus}/mpu6050", "--max-frames", "3", "--out", str(log)
    )
    want(len(lines(log)) == 3, lines(log))
leave()

from __future__ import annotations

import numpy as np
import pytest

from edgenn.bundle.manifest import WindowInput
from edgenn.errors import ModelError
from edgenn.runtime.health import Health
from edgenn.runtime.intake import Intake
from edgenn.types import Samples

SPEC = WindowInput(
    length=100,
    stride=10,
    rate=50,
    channels=("ax", "ay", "az"),
    units=("g", "g", "g"),
    ranges=((-3, 3), (-3, 3), (-3, 3)),
)


def stream(n=500, rate=50.0, scale=1.0):
    noise = np.random.default_rng(0).normal(0, 0.05, (n, 3))
    values = (noise + np.array([0, 0.6, 0.8])) * scale
    return Samples(values.astype(np.float32), np.arange(n) / rate, "wrist")


def part(samples, start, end):
    return Samples(samples.values[start:end], samples.times[start:end], samples.source)


def test_few_readings_come_out_at_the_end():
    intake, samples = Intake(SPEC, Health()), stream(20)
    assert list(intake.push(samples)) == []
    ((cut, out),) = intake.flush()
    assert not cut
    assert out.values.tobytes() == samples.values.tobytes()
    assert list(intake.flush()) == []


@pytest.mark.parametrize(("rate", "held"), [(50, 64), (5, 16), (10, 21)])
def test_no_more_is_held_back_than_decides(rate, held):
    intake, samples = Intake(SPEC, Health()), stream(100, rate)
    for i in range(held - 1):
        assert list(intake.push(part(samples, i, i + 1))) == []
    assert list(intake.push(part(samples, held - 1, held)))
    assert len(list(intake.push(part(samples, held, held + 1)))) == 1


def test_other_channels_are_refused_at_once():
    wrong = Samples(np.zeros((1, 2), np.float32), np.zeros(1), "wrist")
    with pytest.raises(ModelError, match="takes 3 channels per reading, wrist gives 2"):
        list(Intake(SPEC, Health()).push(wrong))


@pytest.mark.parametrize("rate", [50, 104])
def test_a_wrong_unit_is_said_once(caplog, rate):
    intake, samples = Intake(SPEC, Health()), stream(2000, rate, 9.81)
    for i in range(0, 2000, 25):
        list(intake.push(part(samples, i, i + 25)))
    said = [r.getMessage() for r in caplog.records if "look like" in r.getMessage()]
    assert said == [
        "wrist: the accelerometer readings look like m/s2, the model was trained on g: "
        "divide them by 9.81"
    ]


def test_the_right_unit_is_not(caplog):
    intake = Intake(SPEC, Health())
    list(intake.push(stream(2000)))
    assert caplog.records == []


def test_one_wrong_timestamp_makes_no_flood(caplog):
    health, samples = Health(), stream(500, 104)
    samples.times[200] = 1e9
    samples.times[300] = -1e9
    intake = Intake(SPEC, health)
    out = list(intake.push(samples))
    assert health.gaps == 4
    assert sum(len(part.times) for _, part in out) < 260

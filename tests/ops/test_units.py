from __future__ import annotations

import numpy as np
import pytest

from edgenn.ops.units import mismatch

IN_G = ("g", "g", "g", "deg/s", "deg/s", "deg/s")
IN_SI = ("m/s²", "m/s^2", "m/s2", "rad/s", "rad/s", "rad/s")
# A wrist in training, in g and degrees.
RANGES = np.array([[-3, 2], [-2, 2], [-3, 3], [-400, 400], [-600, 400], [-500, 500]], float)
SI = np.array([9.81] * 3 + [np.pi / 180] * 3)
RNG = np.random.default_rng(0)


def wrist(shake=0.2, turn=60.0, n=300):
    """Readings in g and deg/s: gravity, some movement."""
    noise = RNG.normal(size=(n, 6)) * ([shake] * 3 + [turn] * 3)
    return noise + np.array([0.3, 0.2, 0.93, 0, 0, 0])


def judge(values, units=IN_G, ranges=RANGES):
    return mismatch(values.astype(np.float32), units, [tuple(r) for r in ranges])


@pytest.mark.parametrize(("shake", "turn"), [(0, 0), (0.01, 0.3), (0.02, 8), (0.2, 60), (2, 300)])
def test_right_units_raise_no_alarm(shake, turn):
    values = wrist(shake, turn)
    assert judge(values) == ""
    assert judge(values * SI, IN_SI, RANGES * SI[:, None]) == ""


@pytest.mark.parametrize(("shake", "turn"), [(0, 0), (0.01, 0.3), (0.1, 60)])
def test_acceleration_in_the_other_unit(shake, turn):
    values = wrist(shake, turn)
    mixed = np.where(np.arange(6) < 3, values * SI, values)
    assert judge(mixed) == (
        "the accelerometer readings look like m/s2, the model was trained on g: divide them by 9.81"
    )
    others = np.where(np.arange(6) < 3, values, values * SI)
    said = judge(others, IN_SI, RANGES * SI[:, None])
    assert said.startswith("the accelerometer readings look like g, the model was trained on m/s2")


def test_turns_in_degrees_where_radians_were_trained():
    values = np.where(np.arange(6) < 3, wrist() * SI, wrist())
    assert judge(values, IN_SI, RANGES * SI[:, None]) == (
        "the gyroscope readings look like deg/s, the model was trained on rad/s: "
        "divide them by 57.3"
    )


def test_turns_in_radians_are_told_only_while_the_sensor_moves():
    said = "the gyroscope readings look like rad/s, the model was trained on deg/s"
    moving, still = wrist(0.8, 150), wrist(0.01, 2)
    for values in (moving, still):
        values[:, 3:] *= np.pi / 180
    assert judge(moving).startswith(said)
    assert judge(still) == ""


def test_what_nothing_is_known_of():
    values = wrist() * SI
    assert judge(values, ()) == ""
    assert judge(values, ("", "", "", "lux", "V", "m")) == ""
    assert mismatch(values.astype(np.float32), IN_SI, ()) == ""
    assert judge(values[:1]) == ""
    pair = np.array([[9.81, 0.0]] * 50)
    assert judge(pair, ("g", "g"), RANGES[:2]) == ""


def test_a_gyroscope_that_stood_still_in_training_says_nothing():
    ranges = RANGES.copy()
    ranges[3:] = 0
    assert judge(wrist(), (*IN_G[:3], *IN_SI[3:]), ranges) == ""


def test_linear_acceleration_has_no_gravity_to_compare():
    values = RNG.normal(size=(300, 3)) * 0.03 + [0.6, 0.6, 0.6]  # a steady 1 m/s2
    assert judge(values, ("m/s2",) * 3, [[-3, 3]] * 3) == ""
    assert judge(values, ("m/s2",) * 3, [[-30, 30]] * 3).startswith("the accelerometer")

"""The motion gate: what moves is looked at, what does not is left alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgenn.runtime.gate import MotionGate
from edgenn.types import Frame

FPS = 20
SIZE = (576, 768)


@pytest.fixture(scope="module")
def scene():
    """A street of blurred patches, grey levels 40 to 200."""
    rng = np.random.default_rng(1)
    small = rng.integers(40, 200, (18, 24, 3), dtype=np.uint8)
    return cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_CUBIC)


class Camera:
    """Noisy frames, one after the other, as a gate gets them."""

    def __init__(self, sigma=3.0, seed=0):
        self.rng = np.random.default_rng(seed)
        self.bank = self.rng.normal(0, sigma, (*SIZE, 3)).astype(np.float32)
        self.count = 0

    def frame(self, picture):
        # The same noise elsewhere: drawing it anew would take most of the test's time.
        noise = np.roll(self.bank, self.rng.integers(0, 500, 2), (0, 1))
        noisy = np.clip(picture + noise, 0, 255).astype(np.uint8)
        self.count += 1
        return Frame(noisy, (self.count - 1) / FPS, self.count - 1)


def rest(gate, camera, scene, seconds=2.5):
    """Until the gate knows the scene."""
    return [gate.push(camera.frame(scene)) for _ in range(int(seconds * FPS))]


@pytest.mark.parametrize("sigma", [0.0, 2.0, 4.0])
def test_noise_of_a_static_scene_gives_no_more_than_the_refresh(scene, sigma):
    gate, camera = MotionGate(refresh=3.0), Camera(sigma)
    rest(gate, camera, scene)
    needed = []
    for _ in range(9 * FPS):
        needed.append(gate.push(camera.frame(scene)))
        assert not gate.moving
    assert sum(needed) == 3


def test_flicker_of_jpeg_gives_no_more_than_the_refresh(scene):
    gate, camera = MotionGate(refresh=100), Camera(2.0)
    needed = []
    for i in range(6 * FPS):
        quality = [cv2.IMWRITE_JPEG_QUALITY, 70 if i % 10 else 90]
        frame = camera.frame(scene)
        data = cv2.imencode(".jpg", frame.image, quality)[1]
        needed.append(gate.push(Frame(cv2.imdecode(data, 1), frame.time, i)))
    assert not any(needed[2 * FPS :])


@pytest.mark.parametrize("speed", [1, 3])
def test_a_small_slow_walker_of_low_contrast_is_seen(scene, speed):
    gate, camera = MotionGate(refresh=100), Camera(3.0)
    assert not rest(gate, camera, scene)[-1]
    needed = []
    for i in range(40):
        picture = scene.copy()
        x = 300 + speed * i
        picture[250:280, x : x + 12] -= 22
        needed.append(gate.push(camera.frame(picture)))
    # He is there from the first frame on; half a second is 10 frames.
    assert True in needed[:10]
    assert sum(needed[10:]) > 20


def test_an_object_that_creeps_is_seen_once_it_has_moved_far_enough(scene):
    """Frame to frame nothing changes that is not noise; the last known picture keeps it."""
    gate, camera = MotionGate(refresh=1000, hold=0.2), Camera(2.0)
    picture = scene.copy()
    picture[200:300, 300:360] = 30
    rest(gate, camera, picture)
    hits = 0
    for i in range(200):
        moved = scene.copy()
        x = 300 + i // 10
        moved[200:300, x : x + 60] = 30
        hits += gate.push(camera.frame(moved))
    assert hits > 5


def test_an_object_that_stops_was_looked_at_where_it_stands(scene):
    """Carried-on detections hold only if the last inference saw the object at rest."""
    gate, camera = MotionGate(refresh=100), Camera()
    rest(gate, camera, scene)
    last, here = None, []
    for i in range(12 * FPS):
        picture = scene.copy()
        x = 200 + 4 * min(i, 30)
        picture[250:310, x : x + 24] = 20
        here.append(gate.push(camera.frame(picture)))
        if here[-1]:
            last = x
    assert last == 200 + 4 * 30
    assert not any(here[-FPS:])  # and it needs no more of it


@pytest.mark.parametrize("gain", [0.9, 1.8, 0.4])
def test_a_light_that_is_switched_triggers_once_at_most(scene, gain):
    gate, camera = MotionGate(refresh=100, hold=0.2), Camera()
    rest(gate, camera, scene)
    lit = np.clip(scene * gain, 0, 255).astype(np.uint8)
    needed = [gate.push(camera.frame(lit)) for _ in range(5 * FPS)]
    runs = sum(now and not before for before, now in zip([False, *needed], needed, strict=False))
    assert runs == (abs(gain - 1) > 0.2)
    assert not any(needed[FPS:])


def test_a_slow_sunset_is_no_motion(scene):
    gate, camera = MotionGate(refresh=100), Camera(2.0)
    rest(gate, camera, scene)
    darker = ((scene * (1 - 0.001 * i)).astype(np.uint8) for i in range(8 * FPS))
    assert not any(gate.push(camera.frame(picture)) for picture in darker)


def test_the_same_film_gives_the_same_decisions(scene):
    def decisions(gate):
        camera, said = Camera(), []
        for i in range(80):
            picture = scene.copy()
            if 40 < i < 50:
                picture[100:200, 100 + 8 * i : 140 + 8 * i] = 255
            said.append(gate.push(camera.frame(picture)))
        return said

    gate = MotionGate(hold=0.3)
    first = decisions(gate)
    assert True in first[40:]
    assert False in first
    gate.reset()
    assert decisions(gate) == first
    assert decisions(gate) == first  # its time goes back, which begins anew by itself
    assert decisions(MotionGate(hold=0.3)) == first


@pytest.mark.parametrize("size", [(240, 320), (33, 47), (1, 1), (1080, 1920)])
def test_a_change_of_size_begins_anew(scene, size):
    gate, camera = MotionGate(refresh=100), Camera()
    assert not rest(gate, camera, scene)[-1]
    other = np.full((*size, 3), 90, np.uint8)
    said = [gate.push(Frame(other, 10 + i / FPS, i)) for i in range(3 * FPS)]
    assert said[0]
    assert not said[-1]

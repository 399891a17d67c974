"""Runs in the peer's environment only: ROCKET on the clips of an npz file.

    python peer.py CLIPS.npz RESULT.json

ROCKET: Dempster et al. 2020 (https://arxiv.org/abs/1910.13051).
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from time import monotonic

import numpy as np
from aeon.classification.convolution_based import RocketClassifier


def main(clips: Path, result: Path) -> None:
    """Train, judge, time."""
    with np.load(clips) as data:
        arrays = {name: data[name] for name in data.files}
    net = RocketClassifier(n_kernels=20_000, random_state=0, n_jobs=1)
    net.fit(arrays["x_train"][:40], arrays["y_train"][:40])  # compiles
    start = monotonic()
    net.fit(arrays["x_train"], arrays["y_train"])
    trained = monotonic() - start
    found = net.predict(arrays["x_test"])
    taken = []
    for x in arrays["x_test"][:60]:
        start = monotonic()
        net.predict(x[None])
        taken.append(monotonic() - start)
    each = float(np.median(taken)) * 1e3
    row = {
        "model": "aeon ROCKET",
        "file": "pickle",
        "accuracy": round(float((found == arrays["y_test"]).mean()), 4),
        "training s": round(trained),
        "size kB": round(len(pickle.dumps(net)) / 1e3),
        "ms per decision": round(each, 2),
        "ms per clip": round(each, 2),
    }
    result.write_text(json.dumps(row))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

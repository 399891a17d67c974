"""People who walk through a made-up street: who is who is known exactly, unlike in a film."""

from __future__ import annotations

import numpy as np

WIDTH, HEIGHT, PEOPLE = 768, 576, 10


def scene(seed: int, frames: int, fps: float) -> np.ndarray:
    """Rows of frame, id, x1, y1, x2, y2, share that somebody nearer hides.

    Ten at a time, 60 to 120 pixels tall, cross at 0.3 to 0.9 of their height a second. Their
    velocity strays from what they want by 0.25 of it (across) and 0.1 (down) in a second and
    returns to it; now and then they change pace or turn.
    """
    rng, dt = np.random.default_rng(1000 + seed), 1 / fps
    rows: list[list[float]] = []
    people = [_person(rng, i + 1, anywhere=True) for i in range(PEOPLE)]
    number = PEOPLE
    for n in range(frames):
        for p in people:
            stray = rng.normal(0, (0.25, 0.1)) * p["height"] * dt**0.5
            p["vx"] += (p["wish"] - p["vx"]) * dt / 2 + stray[0]
            p["vy"] += -p["vy"] * dt / 2 + stray[1]
            if rng.random() < 0.1 * dt:
                p["wish"] *= -1 if rng.random() < 0.3 else rng.uniform(0, 1.5)
            p["x"] += p["vx"] * dt
            p["y"] += p["vy"] * dt
        boxes = np.array([_box(p) for p in people])
        hidden = _hidden(boxes)
        rows += [
            [n, p["id"], *box, part] for p, box, part in zip(people, boxes, hidden, strict=True)
        ]
        people = [p for p in people if -30 <= p["x"] <= WIDTH + 30 and 60 < p["y"] < HEIGHT + 40]
        while len(people) < PEOPLE:
            number += 1
            people.append(_person(rng, number))
    return np.array(rows)


def behind(rows: np.ndarray, truth: np.ndarray, seed: int) -> np.ndarray:
    """Found boxes without those of people who are hidden; who is half hidden scores low."""
    rng = np.random.default_rng([seed, 1])
    share = {(row[0], row[1]): row[6] for row in truth}
    hidden = np.array([share[row[0], row[1]] for row in rows])
    weak = np.minimum(rows[:, 6], rng.uniform(0.1, 0.5, len(rows)))
    rows[:, 6] = np.where(hidden > 0.4, weak, rows[:, 6])
    return rows[hidden < 0.75]


def _person(rng: np.random.Generator, number: int, *, anywhere: bool = False) -> dict[str, float]:
    height, way = rng.uniform(60, 120), rng.choice([-1, 1])
    wish = way * rng.uniform(0.3, 0.9) * height
    x = rng.uniform(0, WIDTH) if anywhere else (-20 if way > 0 else WIDTH + 20)
    return {
        "id": number,
        "x": x,
        "y": rng.uniform(100, 560),
        "vx": wish,
        "vy": 0.0,
        "wish": wish,
        "height": height,
        "width": rng.uniform(0.35, 0.5) * height,
    }


def _box(p: dict[str, float]) -> list[float]:
    return [p["x"] - p["width"] / 2, p["y"] - p["height"], p["x"] + p["width"] / 2, p["y"]]


def _hidden(boxes: np.ndarray) -> np.ndarray:
    """Largest share of each box that one whose feet are lower covers."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    nearer = boxes[None, :, 3] > boxes[:, None, 3]
    return (shared * nearer).max(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)

"""Nets that follow each other: a detector, landmarks in a crop per object, a net over time.

As in MediaPipe's hand tracking (Zhang et al. 2020, https://arxiv.org/abs/2006.10214): the detector
looks where nothing is followed; then the landmarks of a frame say where to cut in the next one,
until their presence falls. A net over time sees where one point of each object goes. For a pipeline
it is one model of pictures, whose labels are those of the last net.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from edgenn.bundle.manifest import Chain, Trace, Variant
from edgenn.bundle.store import Bundle
from edgenn.errors import ModelError
from edgenn.ops.boxes import iou
from edgenn.ops.crop import Region, apply, region, rotated_crop
from edgenn.ops.preprocess import Geometry
from edgenn.runtime.files import choose
from edgenn.runtime.model import Model
from edgenn.types import Classification, Detections, Floats, Image, Prediction, Tracks

# Two crops whose landmarks overlap so much show the same object.
_SAME = 0.5
# Of the speed, the share of the newest frame.
_NEWEST = 0.3


@dataclass(eq=False)
class Picture:
    """What a chain has in place of an input tensor: the frame itself."""

    image: Image | None = None
    is_new: bool = False


@dataclass(eq=False)
class _Followed:
    """One object: where it is, and where it was."""

    number: int
    region: Region
    points: Floats
    score: float
    box: Floats
    trace: _Traced | None
    frames: int = 0
    speed: Floats = field(default_factory=lambda: np.zeros(2, np.float32))

    def move(self, points: Floats, score: float, box: Floats) -> None:
        """Take the landmarks of the next frame."""
        step = (box[:2] + box[2:] - self.box[:2] - self.box[2:]) / 2
        share = _NEWEST if self.frames else 1.0
        self.speed = np.asarray(self.speed + share * (step - self.speed), np.float32)
        self.points, self.score, self.box = points, score, box
        self.frames += 1


class _Traced:
    """The way of one point, and what a net says of it."""

    def __init__(self, rule: Trace, net: Model) -> None:
        self._rule, self._net = rule, net.twin()
        spec = net.manifest.input
        assert spec.kind == "window"
        self._points: deque[tuple[float, float]] = deque(maxlen=spec.length)
        self._length = spec.length
        self.said: Classification | None = None

    def push(self, points: Floats, size: tuple[int, ...]) -> None:
        """One step: the points now, in a frame of (height, width)."""
        x, y = points[self._rule.point, :2] / size[1]
        self._points.append((float(x), float(y) / self._rule.ratio))
        if len(self._points) < self._length:
            return
        # Where a way begins means nothing, so it begins at zero as in the training data.
        values = np.array(self._points, np.float32)
        said = self._net.predict(values - values[0])
        assert isinstance(said, Classification)
        self.said = said


class ChainModel(Model):
    """A model whose net is the first of several; see `Model` for what it does.

    Args:
        bundle: Holds all nets.
        variant: The detector's file; the others run on the same engine where they can.
        wishes: As `Model` takes them; thresholds are the detector's.

    Raises:
        ModelError: A net is damaged or does not do its part.
    """

    def __init__(self, bundle: Bundle, variant: Variant, **wishes: Any) -> None:  # noqa: ANN401
        assert bundle.manifest.chain is not None
        self._chain: Chain = bundle.manifest.chain
        # Thresholds are those of the detector.
        place = {key: value for key, value in wishes.items() if key not in ("conf", "iou")}
        nets = [_member(bundle.member(m), variant, place) for m in bundle.manifest.members]
        self._landmarks, self._trace = nets[0], nets[1] if len(nets) > 1 else None
        _refuse_unfit(str(bundle.path), self._landmarks, self._trace)
        super().__init__(bundle.manifest, variant, bundle.read(variant.file), **wishes)

    @property
    def labels(self) -> tuple[str, ...]:
        """What an object is called: without and with the word of the net over time."""
        names = () if self._trace is None else self._trace.labels
        return (self._chain.label, *names)

    def _equip(self) -> None:
        super()._equip()
        self._landmarks = self._landmarks.twin()
        self._picture = Picture()
        self._tensor = super().new_tensor()

    def reset(self) -> None:
        """Forget all objects, as at the beginning of a stream."""
        super().reset()
        self._followed: list[_Followed] = []
        self._count = self._numbers = 0

    def new_tensor(self) -> Floats:
        """What `preprocess` fills: the place of a frame rather than a tensor."""
        return cast("Floats", Picture())

    def preprocess(
        self, item: Image | Floats, out: Floats | None = None
    ) -> tuple[Floats, Geometry | None]:
        """Keep the frame for `infer`; nothing is known yet of what it looks at."""
        picture = self._picture if out is None else cast("Picture", out)
        picture.image, picture.is_new = np.asarray(item, np.uint8), True
        return cast("Floats", picture), None

    def infer(self, tensor: Floats) -> dict[str, Floats]:
        """One step over a frame that `preprocess` kept: once its nets for pictures, and
        for each call the net over time.
        """
        picture = cast("Picture", tensor)
        assert picture.image is not None
        if picture.is_new:
            picture.is_new = False
            self._look(picture.image)
        for one in self._followed:
            if one.trace is not None:
                one.trace.push(one.points, picture.image.shape)
        return self._outputs()

    def decode(self, outputs: Mapping[str, Floats], geometry: Geometry | None) -> Prediction:
        """The objects of the frame, in its pixels."""
        del geometry
        tracks = Tracks(outputs["ids"].astype(np.int64), outputs["ages"], outputs["speeds"])
        return Detections(
            outputs["boxes"],
            outputs["scores"],
            outputs["class_ids"].astype(np.int64),
            self.labels,
            outputs["keypoints"],
            tracks,
        )

    def _look(self, image: Image) -> None:
        """Follow what is known, and find more where there is room."""
        kept: list[_Followed] = []
        for one in self._followed:
            seen = self._read(image, one.region)
            if seen is None or any(_overlap(seen[2], other.box) for other in kept):
                continue
            one.move(*seen)
            again = region(self._chain.again, one.points, one.box)
            if again is not None:
                one.region = again
                kept.append(one)
        self._followed = kept
        self._count += 1
        due = not kept or self._count % self._chain.look_again == 0
        if due and len(kept) < self._chain.most:
            self._find(image)

    def _find(self, image: Image) -> None:
        tensor, geometry = super().preprocess(image, self._tensor)
        found = super().decode(super().infer(tensor), geometry)
        assert isinstance(found, Detections)
        points = found.keypoints
        for i in range(len(found)):
            if len(self._followed) >= self._chain.most:
                return
            of_it = np.zeros((0, 3), np.float32) if points is None else points[i]
            where = region(self._chain.region, of_it, found.boxes[i])
            seen = None if where is None else self._read(image, where)
            if seen is None or any(_overlap(seen[2], other.box) for other in self._followed):
                continue
            again = region(self._chain.again, seen[0], seen[2])
            if again is not None:
                self._numbers += 1
                trace = None
                if self._chain.trace is not None and self._trace is not None:
                    trace = _Traced(self._chain.trace, self._trace)
                self._followed.append(_Followed(self._numbers, again, *seen, trace))

    def _read(self, image: Image, where: Region) -> tuple[Floats, float, Floats] | None:
        """Landmarks in the frame, their presence and bounds; None where nothing is there."""
        spec = self._landmarks.manifest.input
        assert spec.kind == "image"
        crop, way = rotated_crop(image, where.center, where.size, where.angle, spec.size)
        found = self._landmarks.predict(crop)
        assert isinstance(found, Detections)
        if not len(found) or found.keypoints is None or found.scores[0] < self._chain.presence:
            return None
        points = apply(way, found.keypoints[0])
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        return points, float(found.scores[0]), np.concatenate([low, high]).astype(np.float32)

    def _outputs(self) -> dict[str, Floats]:
        """All that is followed, as arrays; see `decode`."""
        ones = self._followed
        rate = self._chain.rate or 1.0
        named = [_name(one) for one in ones]
        return {
            "boxes": np.array([one.box for one in ones], np.float32).reshape(-1, 4),
            "scores": np.array([score for _, score in named], np.float32),
            "class_ids": np.array([class_id for class_id, _ in named], np.float32),
            "keypoints": np.array([one.points for one in ones] or np.zeros((0, 0, 3)), np.float32),
            "ids": np.array([one.number % (1 << 24) for one in ones], np.float32),
            "ages": np.array([one.frames / rate for one in ones], np.float32),
            "speeds": np.array([one.speed * rate for one in ones], np.float32).reshape(-1, 2),
        }


def _name(one: _Followed) -> tuple[int, float]:
    """Number of its label, and score."""
    if one.trace is None or one.trace.said is None:
        return 0, one.score
    return 1 + one.trace.said.class_id, one.trace.said.score


def _overlap(a: Floats, b: Floats) -> bool:
    return bool(iou(a[None], b[None])[0, 0] > _SAME)


def _member(bundle: Bundle, first: Variant, place: dict[str, Any]) -> Model:
    """A net of the chain, on the engine of the first where it has a file for it."""
    engines = {variant.engine for variant in bundle.manifest.variants}
    engine = first.engine if first.engine in engines else "auto"
    if bundle.manifest.chain is not None:
        raise ModelError(f"{bundle.path} is a chain inside of a chain, which is not known")
    chosen = choose(bundle, engine, None)
    return Model(bundle.manifest, chosen, bundle.read(chosen.file), **place)


def _refuse_unfit(where: str, landmarks: Model, trace: Model | None) -> None:
    spec = landmarks.manifest.input
    if spec.kind != "image" or spec.rate or landmarks.manifest.task != "detect":
        raise ModelError(f"{where}: its landmarks come from a net that does not look at crops")
    if trace is None:
        return
    given = trace.manifest.input
    if given.kind != "window" or len(given.channels) != 2 or trace.manifest.state:
        raise ModelError(f"{where}: its last net does not take windows of x and y")

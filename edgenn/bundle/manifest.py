"""What a bundle says of itself: a strict, versioned JSON document.

The same document is embedded in every model file, so that a bare
``model.int8.tflite`` still knows its labels and its preprocessing.
"""

from __future__ import annotations

import json
from math import prod
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgenn.errors import BundleError, ModelError, faults
from edgenn.ops.crop import RegionRule
from edgenn.ops.preprocess import CenterCrop, Color, Layout, Letterbox, Normalize, Resize, Step

SCHEMA_VERSION = 1
# Above this a manifest could ask for more memory than a device has.
MAX_WINDOW = 1 << 20
MAX_STATE = 1 << 24

Task = Literal["detect", "classify", "sequence"]
EngineName = Literal["onnx", "litert"]
Precision = Literal["fp32", "fp16", "int8"]
AnyStep = Annotated[Letterbox | Resize | CenterCrop | Normalize, Field(discriminator="op")]


class Strict(BaseModel):
    """A frozen model that refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class ImageInput(Strict):
    """A picture.

    Attributes:
        name: Tensor name in this manifest.
        size: Height, width in pixels.
        color: Channel order of the tensor; "gray" where it has one channel.
        rate: Frames per second that a net over video takes; 0 where every picture stands alone.
        steps: Preprocessing, in order.
    """

    kind: Literal["image"] = "image"
    name: str = "image"
    size: tuple[int, int]
    color: Color = "rgb"
    rate: float = Field(default=0.0, ge=0, le=1000)
    steps: tuple[AnyStep, ...]

    @model_validator(mode="after")
    def _size_is_that_of_its_step(self) -> ImageInput:
        first = self.steps[0] if self.steps else None
        if isinstance(first, Letterbox | Resize | CenterCrop) and first.size != self.size:
            raise ValueError(f"the input is {self.size} but its first step makes {first.size}")
        return self


class WindowInput(Strict):
    """A stretch of a sensor stream.

    Attributes:
        name: Tensor name in this manifest.
        length: Readings per window; of a streaming net those of one step.
        stride: Readings between the starts of two windows in live use.
        sample: What the net was trained and measured on: windows, whole clips, or
            every moment of a stream.
        span: Readings that it was trained on at once; 0 where not known.
        background: Number of the label of readings in which nothing happens; -1: none.
        rate: Readings per second, Hz.
        channels: Name of each value of a reading, in order.
        units: Unit of each channel, same order; empty where not known.
        ranges: Low and high of each channel in the training data (percentiles 0.1 and 99.9),
            in its unit, same order; empty where not known.
        steps: Preprocessing, in order.
    """

    kind: Literal["window"] = "window"
    name: str = "window"
    length: int = Field(gt=0, le=MAX_WINDOW)
    stride: int = Field(gt=0)
    rate: float = Field(gt=0)
    channels: tuple[str, ...] = Field(min_length=1)
    units: tuple[str, ...] = ()
    ranges: tuple[tuple[float, float], ...] = ()
    steps: tuple[AnyStep, ...] = ()
    sample: Literal["window", "clip", "stream"] = "window"
    span: int = Field(default=0, ge=0, le=MAX_WINDOW)
    background: int = Field(default=-1, ge=-1)


class Decode(Strict):
    """Name of a file in ``ops/decode`` and its parameters."""

    name: str
    params: dict[str, Any] = {}

    def without_class_conf(self) -> Decode:
        """The same with one threshold for all classes."""
        params = {key: value for key, value in self.params.items() if key != "class_conf"}
        return self.model_copy(update={"params": params})


class State(Strict):
    """One tensor that a streaming net hands to its next step.

    Attributes:
        input: Tensor name of the input in this manifest.
        output: Tensor name of the output that is the next step's input.
        shape: Of both.
        initial: Value of every element before the first step.
    """

    input: str
    output: str
    shape: tuple[Annotated[int, Field(gt=0)], ...]
    initial: float = 0.0

    @model_validator(mode="after")
    def _is_small(self) -> State:
        if prod(self.shape) > MAX_STATE:
            raise ValueError(f"state {self.input} of shape {self.shape} is too large to be real")
        return self


class Tolerance(Strict):
    """How far a variant may be from the trained network on the golden samples.

    Attributes:
        max_abs: Largest allowed difference of each raw output.
        agreement: Smallest allowed share of equal decisions, 0..1.
    """

    max_abs: dict[str, float]
    agreement: float = Field(ge=0, le=1)


class Constant(Strict):
    """An input of the file that is the same at every inference.

    Attributes:
        shape: Of the tensor.
        values: Row by row.
    """

    shape: tuple[Annotated[int, Field(gt=0)], ...]
    values: tuple[float, ...] = Field(max_length=4096)

    @model_validator(mode="after")
    def _fills_its_shape(self) -> Constant:
        if prod(self.shape) != len(self.values):
            raise ValueError(f"{len(self.values)} values do not fill the shape {self.shape}")
        return self


class Variant(Strict):
    """One model file.

    Attributes:
        file: Name inside the bundle.
        engine: Runtime that runs it.
        precision: fp32, fp16 or int8.
        layout: Axis order of picture tensors in this file. Readings go in as (1, T, C), but as
            (1, C, T) where it is "nct"; in both, axes of 1 may be elsewhere in the file.
        tensors: Manifest tensor name to the file's own tensor name.
        constants: Further inputs, by the file's own tensor name.
        sha256: Hash of the file, hex; empty in a manifest embedded in that file.
        size: Bytes of the file; 0 in an embedded manifest.
        metrics: What was measured at export (task metric, drop, latency).
        tolerance: Bounds for the golden samples.
    """

    file: str
    engine: EngineName
    precision: Precision
    layout: Layout = "nchw"
    tensors: dict[str, str]
    constants: dict[str, Constant] = {}
    sha256: str = ""
    size: int = Field(default=0, ge=0)
    metrics: dict[str, float] = {}
    tolerance: Tolerance | None = None


class Golden(Strict):
    """The file of golden samples and how many there are."""

    file: str = "golden.npz"
    sha256: str
    size: int = Field(ge=0)
    count: int = Field(gt=0)


class Member(Strict):
    """A whole bundle that lies inside another one.

    Attributes:
        file: Its name there.
        sha256: Hash of that file, hex.
        size: Its bytes.
    """

    file: str
    sha256: str
    size: int = Field(ge=0)


class Trace(Strict):
    """A net over time that is told where one point of each object goes.

    Attributes:
        net: Takes two channels, x and y in widths of the picture; its labels are those of
            the chain.
        point: Number of the key point.
        ratio: What a width is in units of y, as height over width of the pictures that the
            net was trained on: 0.5625 where both were divided by the sides of 16:9.
    """

    net: Member
    point: int = Field(ge=0, le=10_000)
    ratio: float = Field(default=1.0, gt=0, le=10)


class Chain(Strict):
    """What follows a detector: landmarks in a crop per object, and a net over time.

    The detector looks only where fewer objects than ``most`` are followed: an object that
    has landmarks is found again from these.

    Attributes:
        landmarks: The net that looks at the crop.
        region: How a detection makes the crop.
        again: How the landmarks make the crop of the next frame.
        presence: Score of the landmarks below which the object is lost, 0..1.
        most: Objects that are followed at a time.
        rate: Frames per second that the chain takes; 0 where it follows no point over time.
        look_again: Frames after which the detector looks for more beside those followed.
        trace: The net over time, if any.
        label: What an object is called while no trace says more.
    """

    landmarks: Member
    region: RegionRule
    again: RegionRule
    presence: float = Field(default=0.5, ge=0, le=1)
    most: int = Field(default=1, ge=1, le=16)
    rate: float = Field(default=0.0, ge=0, le=1000)
    look_again: int = Field(default=30, ge=1)
    trace: Trace | None = None
    label: str


class Provenance(Strict):
    """Where the weights come from; ``foreign`` where edgenn did not train them."""

    edgenn: str
    recipe_sha256: str = ""
    data_sha256: str = ""
    seed: int = 0
    foreign: bool = False
    licence: str = ""
    data: str = ""
    versions: dict[str, str] = {}


class Manifest(Strict):
    """Everything a device has to know to use the model files.

    Attributes:
        schema_version: Version of this document's form.
        name: Short name of the model.
        task: detect, classify or sequence.
        labels: Class names in the order of the net's outputs.
        input: What the net takes.
        outputs: Names of the net's outputs, in order.
        decode: How outputs become a prediction.
        state: Tensors carried from step to step by streaming nets.
        temporal: Defaults of temporal stages, by stage name.
        chain: Nets that go on from what this one, a detector, finds.
        variants: The model files.
        golden: Samples that prove parity, None in embedded manifests.
        files: Hash, hex, of each other file of the bundle, such as card and report, by name;
            empty in embedded manifests and in bundles of before it was known.
        provenance: Recipe, data, versions, licence.
    """

    schema_version: Literal[1] = 1
    name: str
    task: Task
    labels: tuple[str, ...] = Field(min_length=1)
    input: ImageInput | WindowInput = Field(discriminator="kind")
    outputs: tuple[str, ...] = Field(min_length=1)
    decode: Decode
    state: tuple[State, ...] = ()
    temporal: dict[str, dict[str, Any]] = {}
    chain: Chain | None = None
    variants: tuple[Variant, ...] = ()
    golden: Golden | None = None
    files: dict[str, str] = {}
    provenance: Provenance

    @model_validator(mode="after")
    def _tensors_are_named(self) -> Manifest:
        wanted = {self.input.name, *self.outputs}
        wanted |= {name for state in self.state for name in (state.input, state.output)}
        for variant in self.variants:
            missing = wanted - set(variant.tensors)
            if missing:
                raise ValueError(f"{variant.file} does not map the tensors {sorted(missing)}")
        return self

    @model_validator(mode="after")
    def _layouts_are_of_the_input(self) -> Manifest:
        for variant in self.variants:
            if variant.layout == "nct" and self.input.kind == "image":
                raise ValueError(f"{variant.file}: the layout nct is for readings, not pictures")
        return self

    @model_validator(mode="after")
    def _chains_begin_with_a_detector(self) -> Manifest:
        if self.chain is not None and (self.task != "detect" or self.input.kind != "image"):
            raise ValueError("a chain follows a detector, not other models")
        return self

    @property
    def rate(self) -> float:
        """Frames or readings a second that it takes; 0 where every picture stands alone."""
        return self.input.rate if self.chain is None else self.chain.rate

    @property
    def members(self) -> tuple[Member, ...]:
        """The bundles inside, in the order of their use."""
        if self.chain is None:
            return ()
        trace = () if self.chain.trace is None else (self.chain.trace.net,)
        return (self.chain.landmarks, *trace)

    def to_json(self) -> str:
        """Indented JSON, keys in the order of this class."""
        return self.model_dump_json(indent=1)


def parse_manifest(text: str | bytes, where: str) -> Manifest:
    """Read a manifest.

    Args:
        text: The JSON document.
        where: What to call it in an error.

    Raises:
        BundleError: Not JSON, of an unknown schema version, or with wrong
            keys or values (all of them named).
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where}: the manifest is not valid JSON ({error})") from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{where}: manifest schema version {version!r} is not known to this edgenn, which "
            f"reads version {SCHEMA_VERSION}; update edgenn or export the model again"
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        raise BundleError(f"{where}: the manifest is not valid: {faults(error)}") from error
    except ModelError as error:
        raise BundleError(f"{where}: the manifest is not valid: {error}") from error


__all__ = [
    "SCHEMA_VERSION",
    "Decode",
    "EngineName",
    "Golden",
    "ImageInput",
    "Layout",
    "Manifest",
    "Precision",
    "Provenance",
    "State",
    "Step",
    "Task",
    "Tolerance",
    "Variant",
    "WindowInput",
    "parse_manifest",
]

"""Every key that a recipe may have: its type, default, bounds and meaning.

The help of ``edgenn train``, the JSON schema for editors and the checks of
`edgenn.recipe.load` all come from these classes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from edgenn.ops.preprocess import MAX_SIDE

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Side = Annotated[int, Field(gt=0, le=MAX_SIDE)]


class Section(BaseModel):
    """A part of the recipe; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Split(Section):
    """How samples are divided into training and validation; a group is never on both sides."""

    by: Literal["group", "sample", "given"] = Field(
        "group",
        description="group: whole people, recordings or scenes; sample: each on its own; "
        "given: as the data says (train and val folders, a split column)",
    )
    val: Share | list[str] = Field(
        0.2, description="share of the groups to validate on, or the names of those groups"
    )
    group: str = Field(
        "", description="regular expression whose first bracket finds the group in a file's path"
    )


class Data(Section):
    """Where the samples are and how to read them."""

    format: Literal[
        "yolo", "coco", "voc", "imagefolder", "csv", "npz", "mat", "points", "clips"
    ] = Field(description="layout of the data on disk")
    path: str = Field(description="file or folder; ${NAME} is taken from the environment")
    more: list[str] = Field([], description="further data of the same layout, only ever trained on")
    labels: list[str] = Field(
        [], description="classes to use, in this order; empty means all that the data has"
    )
    label_pattern: str = Field(
        "",
        description="csv, npz, mat and clips: regular expression whose first bracket finds the "
        "class in a file's path",
    )
    background: str = Field(
        "",
        description="sensor data: class of all readings that have no label, so that a net learns "
        "what is nothing; empty leaves them out",
    )
    split: Split = Split()
    max_bad: Share = Field(0.1, description="training stops when more than this share is bad")
    time: str = Field("", description="csv: name of the timestamp column, in seconds")
    label: str = Field("label", description="csv: name of the label column")
    channels: list[str] = Field(
        [],
        description="csv: columns to use, in this order; empty means all that remain; mat: names "
        "of all columns",
    )
    rate: float | None = Field(
        None,
        gt=0,
        description="sensor data: readings per second, to which data with timestamps of another "
        "rate is resampled; clips: frames per second that the net gets of any video, and that "
        "files have which do not say",
    )
    points: Literal["time", "features"] = Field(
        "time",
        description="points: a row holds one point at many times, or many points at one time",
    )
    units: list[str] = Field([], description="unit of each channel, kept in the manifest")

    @model_validator(mode="after")
    def _background_is_a_class(self) -> Data:
        if self.background and self.labels and self.background not in self.labels:
            raise ValueError(f"data.labels must hold the background class {self.background!r}")
        return self


class Input(Section):
    """What the net sees."""

    imgsz: Side | tuple[Side, Side] = Field(
        320,
        description="picture side in pixels, or [height, width]; a multiple of 32 for detectors",
    )
    resize: Literal["letterbox", "stretch"] = Field(
        "letterbox", description="letterbox keeps the aspect and pads, stretch does not"
    )
    mean: tuple[float, float, float] = Field(
        (123.675, 116.28, 103.53), description="per colour channel (RGB), 0..255"
    )
    std: tuple[Positive, Positive, Positive] = Field(
        (58.395, 57.12, 57.375), description="per colour channel (RGB), 0..255"
    )
    sample: Literal["window", "clip", "stream"] = Field(
        "window",
        description="sequence: what is judged. window: stretches of one class; clip: whole "
        "recordings of one class; stream: every moment of recordings that follow one another, "
        "with pauses of class data.background between them",
    )
    window: int = Field(
        128, gt=0, description="sequence: readings per window; stream: readings trained on at once"
    )
    stride: int = Field(32, gt=0, description="sequence: readings between two windows")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return (self.imgsz, self.imgsz) if isinstance(self.imgsz, int) else self.imgsz


class Net(Section):
    """Which network."""

    family: str = Field(description="file in edgenn/nets: dscnn, anchorfree, rnn, ...")
    size: str = Field("s", description="one of the family's sizes")
    weights: str = Field(
        "",
        description="checkpoint to start from (safetensors, or a .pth of the backbone); "
        "${NAME} is taken from the environment",
    )
    options: dict[str, Any] = Field({}, description="values that replace those of the size")


class Augment(Section):
    """Random changes to training samples; validation samples are never changed."""

    flip: Share = Field(0.5, description="pictures: chance of a left-right flip")
    swap: list[tuple[str, str]] | None = Field(
        None,
        description="clips: pairs of labels that change places in a flip, such as left and right; "
        "may be empty; clips are not flipped without it",
    )
    scale: tuple[float, float] = Field((0.7, 1.4), description="pictures: zoom, low and high")
    stretch: Share = Field(
        0.0, description="clips: largest change of the width alone, as a share of it"
    )
    translate: Share = Field(0.1, description="pictures: largest shift, as a share of the side")
    rotate: float = Field(0.0, ge=0, le=180, description="pictures: largest turn, degrees")
    hsv: tuple[float, float, float] = Field(
        (0.015, 0.5, 0.4), description="pictures: hue, saturation and value jitter, 0..1"
    )
    mosaic: Share = Field(0.0, description="detect: chance to join four pictures into one")
    mixup: Share = Field(
        0.0,
        description="detect: chance to lay another picture over it, half transparent; sequence: "
        "chance to mix the recordings of a batch, two by two",
    )
    multiscale: tuple[Positive, Positive] = Field(
        (1.0, 1.0),
        description="detect: factors on imgsz, low and high; each batch gets a side between them",
    )
    jitter: float = Field(0.05, ge=0, description="sequence: noise, in standard deviations")
    magnitude: Share = Field(0.1, description="sequence: largest relative change of scale")
    shift: bool = Field(True, description="sequence: cut training windows at random places")
    speed: tuple[Positive, Positive] = Field(
        (1.0, 1.0), description="clip and stream: factors on the speed of a clip, low and high"
    )
    warp: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="clip and stream: largest share by which a clip speeds up and slows down on "
        "its way",
    )
    crop: float = Field(
        0.0, ge=0, lt=0.5, description="clip and stream: largest share cut off either end of a clip"
    )
    turn: float = Field(
        0.0,
        ge=0,
        le=180,
        description="sequence: largest turn of a sensor, degrees; channels must be x, y, z, or "
        "x, y, of one or several sensors",
    )
    lose: Share = Field(0.0, description="sequence: share of readings that repeat the last one")
    last_epochs_plain: int = Field(
        0, ge=0, description="switch mosaic, mixup, zoom and multiscale off for so many last epochs"
    )


class Distill(Section):
    """Learning from a detector beside the labels."""

    run: str = Field(
        description="the teacher: a run of edgenn train with the same labels; ${NAME} is taken "
        "from the environment"
    )
    weight: float = Field(1.0, ge=0, description="factor on what the teacher says")


class Train(Section):
    """The optimisation."""

    epochs: int = Field(50, gt=0)
    batch: int = Field(32, gt=0, description="samples per step and process")
    lr: float = Field(1e-3, gt=0, description="peak learning rate")
    optimizer: Literal["adamw", "muon"] = Field(
        "adamw", description="muon learns more per step where nothing is pretrained"
    )
    backbone_lr: float = Field(1.0, ge=0, description="factor on lr for pretrained layers")
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="factor on lr from one pretrained block to the one before it",
    )
    freeze: list[str] = Field(
        [],
        description="parts of the net that stay as they were loaded, by the beginning of their "
        "names: backbone, backbone.stages.0, ...",
    )
    freeze_norm: bool = Field(
        False,
        description="pretrained normalisations keep their statistics; for weights whose "
        "statistics small batches cannot give",
    )
    qat: bool = Field(
        False,
        description="pictures: round activations to int8 in training, so that int8 files lose "
        "less; for fine-tuning, without amp",
    )
    weight_decay: float = Field(0.01, ge=0)
    warmup: Share = Field(0.05, description="share of all steps with a rising learning rate")
    clip: float = Field(5.0, ge=0, description="largest gradient norm; 0 switches it off")
    ema: Share = Field(0.998, description="decay of the averaged weights; 0 switches them off")
    settle: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="sequence: share of a gesture, from its beginning, over which the net need not "
        "know it yet",
    )
    ctc: bool = Field(
        False,
        description="stream: learn the order of gestures alone, with data.background as the blank; "
        "events are the spikes of the best path",
    )
    label_smoothing: Share = Field(0.0, description="classify and sequence only")
    class_balance: Share = Field(
        0.0,
        description="classify and sequence only: classes weigh as their number to minus this; "
        "0 all samples alike, 1 all classes alike",
    )
    amp: bool = Field(True, description="mixed precision where the device gains from it")
    patience: int = Field(0, ge=0, description="stop after so many epochs without gain; 0: never")
    eval_every: int = Field(1, gt=0, description="epochs between two validations")
    distill: Distill | None = Field(None, description="learn from a teacher beside the labels")
    workers: int = Field(2, ge=0, description="processes that load data; 0 loads in this one")


class Calibration(Section):
    """How int8 ranges are found, on training samples."""

    method: Literal["minmax", "entropy", "percentile"] = Field(
        "minmax", description="ONNX only; TFLite calibrates by a moving minimum and maximum"
    )
    samples: int = Field(128, gt=0, description="training samples to run")


class GoldenSamples(Section):
    """Samples that go into the bundle to prove parity on the device."""

    source: str = Field(
        "val",
        description="val: from the validation split; synthetic: made here, for data that may not "
        "be passed on; or a path to pictures, a video, or an npz of windows; "
        "${NAME} is taken from the environment",
    )
    count: int = Field(4, gt=0, le=64)


class Export(Section):
    """Defaults of ``edgenn export``."""

    form: Literal["stream", "window"] = Field(
        "stream",
        description="sequence: what the files take. stream: the next few readings, with the memory "
        "of all before as further inputs and outputs; window: a whole window, without memory",
    )
    calibration: Calibration = Calibration()
    golden: GoldenSamples = GoldenSamples()
    max_drop: Share = Field(0.01, description="largest loss of the task metric, absolute")


class Recipe(Section):
    """How one model is made."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="short name")
    task: Literal["detect", "classify", "sequence"]
    seed: int = Field(0, ge=0)
    licence: str = Field("", description="licence of the trained weights, for the model card")
    sources: str = Field("", description="where the data came from, for the model card")
    data: Data
    input: Input = Input()
    net: Net
    augment: Augment = Augment()
    train: Train = Train()
    decode: dict[str, Any] = Field({}, description="defaults of the decoder: conf, iou, max_det")
    export: Export = Export()

    @property
    def plain_from(self) -> int:
        """Epoch, from 0, from which on pictures are neither joined nor resized."""
        return self.train.epochs - self.augment.last_epochs_plain

    @model_validator(mode="after")
    def _formats_fit_tasks(self) -> Recipe:
        fits = {
            "detect": ("yolo", "coco", "voc"),
            "classify": ("imagefolder",),
            "sequence": ("csv", "npz", "mat", "points", "clips"),
        }[self.task]
        if self.data.format not in fits:
            raise ValueError(
                f"task {self.task} reads data.format {' or '.join(fits)}, not {self.data.format}"
            )
        if self.data.format == "clips" and self.input.sample == "stream":
            raise ValueError("input.sample of data.format clips is clip, not stream")
        if self.data.format == "clips" and self.export.form == "window":
            raise ValueError("export.form of data.format clips is stream, not window")
        if self.input.sample == "stream" and not self.data.background:
            raise ValueError(
                "input.sample stream needs data.background, the class of the pauses, such as none"
            )
        if self.train.ctc and self.input.sample != "stream":
            raise ValueError(f"train.ctc needs input.sample stream, not {self.input.sample}")
        windows = self.input.sample == "window"
        if self.task == "sequence" and self.export.form == "window" and not windows:
            raise ValueError(
                f"export.form window needs input.sample window, not {self.input.sample}"
            )
        if self.task == "detect" and any(side % 32 for side in self.input.size):
            raise ValueError("input.imgsz of a detector must be a multiple of 32")
        return self


def subsection(field: FieldInfo) -> type[Section] | None:
    """The section that a key holds, None where it holds a value."""
    kind = field.annotation
    # Python 3.10 takes list[str] for a type, but not in issubclass.
    if isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, Section):
        return kind
    return None

"""A model that is ready to use: a variant of a bundle, its engine, pre- and post-processing."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np

from edgenn import plugins
from edgenn.bundle.manifest import EngineName, Manifest, Precision, Variant
from edgenn.bundle.store import Bundle, open_bundle
from edgenn.errors import ModelError, UsageError
from edgenn.ops import decode as decoders
from edgenn.ops.preprocess import Geometry, ImagePreprocessor, WindowPreprocessor
from edgenn.ops.window import step_ends
from edgenn.runtime import engines
from edgenn.runtime._shapes import holding
from edgenn.runtime.engines._providers import Provider, Wish
from edgenn.runtime.files import choose, find, on_gpu, resolve
from edgenn.types import Floats, Frame, Image, Prediction, Window

_log = logging.getLogger(__name__)
_MOST_THREADS = 256


class Model:
    """Predicts from frames or windows. Not thread-safe: one per thread, see `twin`.

    Attributes:
        manifest: What the model is.
        variant: The file that is running.
        latency_ms: Milliseconds of the last prediction, per stage.
        on_fault: Of a model on trial: hears what it raises in a pipeline, which goes on; None
            ends the run.
    """

    on_fault: Callable[[Exception], None] | None = None

    def __init__(
        self,
        manifest: Manifest,
        variant: Variant,
        data: bytes,
        *,
        threads: int = 0,
        conf: float | None = None,
        iou: float | None = None,
        engine: engines.Engine | None = None,
        provider: Provider = "auto",
        half: bool = False,
        profile: str | None = None,
    ) -> None:
        self.manifest = manifest
        self.variant = variant
        self.latency_ms: dict[str, float] = {}
        wish = Wish(provider, half, variant.precision == "int8")
        try:
            self.engine: engines.Engine = engine or _open(variant, data, threads, wish, profile)
        except ModelError as error:
            raise ModelError(f"{variant.file}: {error}") from error
        self._shape = _check_tensors(self.engine, manifest, variant)
        self._constants: dict[str, Floats] = {
            name: np.asarray(constant.values, np.float32).reshape(constant.shape)
            for name, constant in variant.constants.items()
        }
        self._memory: dict[str, Floats] = {}
        self._params = _override(manifest, {"conf": conf, "iou": iou})
        self._equip()

    def twin(self) -> Model:
        """The same model for another thread: it shares the engine, but no buffer or memory.

        Calls of an engine that can only do one at a time wait for each other, first come
        first served.
        """
        other = copy.copy(self)
        other.latency_ms = {}
        other._equip()
        return other

    def _equip(self) -> None:
        """Make what one thread alone may use."""
        self.reset()
        manifest, spec = self.manifest, self.manifest.input
        self._images = self._windows = None
        if spec.kind == "image":
            self._images = ImagePreprocessor(spec.steps, spec.color, self.variant.layout)
        else:
            self._windows = WindowPreprocessor(
                spec.steps, spec.length, len(spec.channels), self.variant.layout
            )
        self._decode: decoders.Decoder = plugins.load(decoders, manifest.decode.name).build(
            self._params, manifest.labels, spec.size if spec.kind == "image" else None
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the net's outputs."""
        return self.manifest.labels

    def reset(self) -> None:
        """Forget the past, as at the beginning of a stream; does nothing without state."""
        names = self.variant.tensors
        self._memory = {
            names[state.input]: np.full(state.shape, state.initial, np.float32)
            for state in self.manifest.state
        }

    def follow(self, values: Floats | Image) -> Iterator[tuple[int, Prediction]]:
        """Look at a recording from its beginning.

        Resets the model. Steps, or windows, end with the recording: readings at its
        beginning that do not fill one are left out.

        Args:
            values: (T, C) float32 readings, or (T, H, W, 3) uint8 BGR frames, as many a
                second as the model takes.

        Yields:
            Number of the last reading or frame of each step, and the prediction there.

        Raises:
            ModelError: The model takes single pictures, or other readings.
        """
        spec = self.manifest.input
        if not spec.rate:
            raise ModelError(f"{self.manifest.name} takes single pictures, not recordings")
        self.reset()
        if spec.kind == "image":
            for number, frame in enumerate(values):
                yield number, self.predict(frame)
            return
        for end in step_ends(len(values), spec.stride):
            if end + 1 >= spec.length:
                yield int(end), self.predict(values[end + 1 - spec.length : end + 1])

    def predict(self, item: Image | Floats | Frame | Window) -> Prediction:
        """Look at one frame or one window; a streaming model remembers it.

        Args:
            item: (H, W, 3) uint8 BGR picture for image models, (T, C) float32
                readings for sequence models, or the `Frame` or `Window` around it.

        Returns:
            `Detections` with boxes in pixels of the given frame, or `Classification`.

        Raises:
            ModelError: The item is not what the model takes.
        """
        if isinstance(item, Frame):
            item = item.image
        elif isinstance(item, Window):
            item = item.values
        start = perf_counter()
        tensor, geometry = self.preprocess(item)
        prepared = perf_counter()
        outputs = self.infer(tensor)
        inferred = perf_counter()
        prediction = self._decode(outputs, geometry)
        self.latency_ms = {
            "preprocess": (prepared - start) * 1e3,
            "inference": (inferred - prepared) * 1e3,
            "decode": (perf_counter() - inferred) * 1e3,
        }
        return prediction

    def preprocess(
        self, item: Image | Floats, out: Floats | None = None
    ) -> tuple[Floats, Geometry | None]:
        """The net's input tensor, and the way back to the frame.

        Args:
            item: As `predict` takes it, without `Frame` or `Window` around it.
            out: From `new_tensor`, to be filled; None fills one that the next call fills anew.

        Raises:
            ModelError: The item is not what the model takes.
        """
        if self._images is not None:
            return self._images(np.asarray(item), out)
        assert self._windows is not None
        return self._windows(np.asarray(item, np.float32), out), None

    def new_tensor(self) -> Floats:
        """A float32 buffer for `preprocess`."""
        preprocessor = self._images or self._windows
        assert preprocessor is not None
        return preprocessor.new_tensor()

    def finish_image(self, placed: Image) -> Floats:
        """The tensor of a picture that already has the net's size; see `ImagePreprocessor`."""
        if self._images is None:
            raise ModelError(f"{self.manifest.name} does not take pictures")
        return self._images.finish(placed)

    def infer(self, tensor: Floats) -> dict[str, Floats]:
        """Raw outputs, by the manifest's names, of one prepared input.

        The memory of a streaming model goes one step on.
        """
        names = self.variant.tensors
        prepared = {names[self.manifest.input.name]: tensor.reshape(self._shape)}
        raw = self.engine.run({**prepared, **self._constants, **self._memory})
        for state in self.manifest.state:
            self._memory[names[state.input]] = raw[names[state.output]]
        return {name: raw[names[name]] for name in self.manifest.outputs}

    def decode(self, outputs: Mapping[str, Floats], geometry: Geometry | None) -> Prediction:
        """Turn raw outputs into a prediction; the way from net to frame is ``geometry``."""
        return self._decode(outputs, geometry)


def load(
    path: str | Path,
    *,
    engine: EngineName | Literal["auto"] = "auto",
    precision: Precision | None = None,
    threads: int = 0,
    conf: float | None = None,
    iou: float | None = None,
    provider: Provider = "auto",
    half: bool = False,
) -> Model:
    """Load a bundle, a model file, also one that edgenn did not write, or a built-in model.

    Args:
        path: Path of a .edgenn, .onnx or .tflite file or bundle folder, or the
            name of a built-in model.
        engine: Engine to run it with; "auto" takes one that is installed.
        precision: Precision to run; None prefers int8 where the bundle has it.
        threads: Worker threads of the engine; 0 lets it choose.
        conf: Confidence threshold of detectors, 0..1; None keeps the model's own.
        iou: NMS overlap threshold of detectors, 0..1; None keeps the model's own.
        provider: Where ONNX Runtime computes: "cpu"; "cuda" or "tensorrt", which take an
            ONNX file, fp32 where no precision was named; "auto" changes no choice of a
            file, and what it does with an ONNX file is in the log.
        half: TensorRT may compute in fp16.

    Raises:
        ModelError: The file is missing, damaged, or of a layout that is not known.
        UsageError: The bundle has no such variant, or its engine no such provider.
        MissingExtraError: No installed engine or provider can run it.
    """
    found = resolve(path)
    engine, precision = on_gpu(provider, engine, precision)
    wishes: dict[str, Any] = {"threads": threads, "conf": conf, "iou": iou}
    wishes |= {"provider": provider, "half": half}
    if found.suffix in (".onnx", ".tflite") and found.is_file():
        from edgenn.runtime import foreign  # it makes models itself

        if foreign.is_foreign(found):
            return foreign.load_foreign(found, foreign.Wishes(), engine=engine, **wishes)
        return Model(*find(path, engine, precision), **wishes)
    bundle = open_bundle(found)
    return from_bundle(bundle, choose(bundle, engine, precision), **wishes)


def from_bundle(bundle: Bundle, variant: Variant, **wishes: Any) -> Model:  # noqa: ANN401
    """The model of an opened bundle, which may be a chain.

    Args:
        bundle: Read through what was checked, never by its path anew.
        variant: The file that runs, of the first net.
        wishes: As `Model` takes them.

    Raises:
        ModelError: A file is damaged.
    """
    if bundle.manifest.chain is not None:
        from edgenn.runtime.chain import ChainModel  # it is made of models

        return ChainModel(bundle, variant, **wishes)
    return Model(bundle.manifest, variant, bundle.read(variant.file), **wishes)


def _open(
    variant: Variant, data: bytes, threads: int, wish: Wish, profile: str | None
) -> engines.Engine:
    if wish.half and wish.provider in ("cpu", "cuda"):
        raise UsageError(f"--half is for TensorRT, not for --provider {wish.provider}")
    if not 0 <= threads <= _MOST_THREADS:  # engines crash for want of so many
        raise UsageError(f"threads must lie between 0 and {_MOST_THREADS}, not {threads}")
    plugin = plugins.load(engines, variant.engine)
    if hasattr(plugin, "open_on"):
        opened: engines.Engine = plugin.open_on(data, threads, wish, profile)
        return opened
    lacks = profile is not None and not hasattr(plugin, "open_profiled")
    if wish.provider not in ("auto", "cpu") or lacks:
        what = "profiler" if lacks else f"provider {wish.provider}"
        raise UsageError(f"{variant.file}: the {variant.engine} engine has no {what}")
    if wish.half:
        _log.warning("%s runs in %s: --half is for TensorRT", variant.file, variant.precision)
    engine: engines.Engine = (
        plugin.open_model(data, threads)
        if profile is None
        else plugin.open_profiled(data, threads, profile)
    )
    return engine


def _override(manifest: Manifest, given: Mapping[str, float | None]) -> dict[str, Any]:
    wanted = {key: value for key, value in given.items() if value is not None}
    for key, value in wanted.items():
        if manifest.task != "detect":
            raise UsageError(
                f"--{key} is for detectors; {manifest.name} is a {manifest.task} model"
            )
        if not 0 <= value <= 1:
            raise UsageError(f"--{key} must lie between 0 and 1, not {value}")
    # Who names a threshold means it for all classes.
    own = manifest.decode.without_class_conf() if "conf" in wanted else manifest.decode
    return {**own.params, **wanted}


def _check_tensors(engine: engines.Engine, manifest: Manifest, variant: Variant) -> tuple[int, ...]:
    """Make sure that a file is that of its manifest; gives the shape in which it takes the input.

    Raises:
        ModelError: Says what differs.
    """
    name = variant.tensors[manifest.input.name]
    outputs = [*manifest.outputs, *(state.output for state in manifest.state)]
    missing = [n for n in outputs if variant.tensors[n] not in engine.outputs]
    states = {variant.tensors[state.input]: state.shape for state in manifest.state}
    if {name, *states, *variant.constants} != engine.inputs.keys() or missing:
        raise ModelError(
            f"{variant.file}: the file's tensors {sorted(engine.inputs)} -> "
            f"{list(engine.outputs)} are not those of its manifest"
        )
    for state, shape in states.items():
        if not _fits(engine.inputs[state], shape):
            raise ModelError(
                f"{variant.file}: the state {state} is {engine.inputs[state]} in the file but "
                f"{shape} in its manifest"
            )
    got, wanted = engine.inputs[name], _prepared(manifest, variant)
    taken = holding(got, wanted)
    if taken is None:
        raise ModelError(f"{variant.file}: the file takes {got} but its manifest says {wanted}")
    constants = {n: c.shape for n, c in variant.constants.items()}
    free = {n: s for n, s in {name: taken, **states, **constants}.items() if -1 in engine.inputs[n]}
    if free:
        engine.fix(free)
    return taken


def _prepared(manifest: Manifest, variant: Variant) -> tuple[int, ...]:
    """Shape of what the preprocessing makes."""
    spec = manifest.input
    if spec.kind == "window":
        sides = (spec.length, len(spec.channels))
        return (1, *(sides[::-1] if variant.layout == "nct" else sides))
    channels = 1 if spec.color == "gray" else 3
    return (1, channels, *spec.size) if variant.layout == "nchw" else (1, *spec.size, channels)


def _fits(got: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(got) == len(wanted) and all(g in (-1, w) for g, w in zip(got, wanted, strict=True))

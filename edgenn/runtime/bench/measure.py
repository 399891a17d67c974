"""Measures one variant in this process: ``python -m edgenn.runtime.bench.measure``.

The parent asks by a line of JSON on the standard input, and gets one on the standard output;
durations of the timed inferences go into a file, as there may be hundreds of thousands.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import logging
import sys
from array import array
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter, process_time

import cv2
import numpy as np

from edgenn.bundle.manifest import Manifest
from edgenn.bundle.store import Bundle, open_bundle
from edgenn.errors import EdgennError
from edgenn.runtime.bench.profile import read_profile
from edgenn.runtime.engines._providers import Provider
from edgenn.runtime.golden import unpack
from edgenn.runtime.model import Model
from edgenn.types import Floats

WARM_UPS = 3
PROFILED = 30


@dataclass(frozen=True, slots=True)
class Request:
    """What to do.

    Attributes:
        bundle: Path.
        file: Variant in it.
        threads: Of the engine.
        provider: See `edgenn.load`.
        half: See `edgenn.load`.
        seconds: Timed inference; 0 writes a profile instead.
        folder: For files of this measurement.
    """

    bundle: str
    file: str
    threads: int
    provider: Provider
    half: bool
    seconds: float
    folder: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of it; see `edgenn.runtime.bench.report.Case`.

    Attributes:
        begin: `time.monotonic` of the first timed inference.
        end: The same of the end of the last.
        profile: JSON of a `Profile`; None where there is none.
        notes: What edgenn would have logged, such as why it computes where it does.
    """

    provider: str = ""
    error: str = ""
    import_ms: float = 0.0
    init_ms: float = 0.0
    first_ms: float = 0.0
    cpu_ms: float = 0.0
    memory_mb: float = 0.0
    begin: float = 0.0
    end: float = 0.0
    profile: str | None = None
    notes: tuple[str, ...] = ()


class Notes(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(record.getMessage())


def durations_file(folder: Path) -> Path:
    """Where milliseconds of the timed inferences lie, float64."""
    return folder / "durations.npy"


def measure(request: Request) -> Reply:
    """Do what the parent asks.

    Raises:
        EdgennError: The variant cannot be run.
    """
    cv2.setNumThreads(1)
    bundle = open_bundle(Path(request.bundle))
    (variant,) = (v for v in bundle.manifest.variants if v.file == request.file)
    data, item, folder = bundle.read(variant.file), sample(bundle), Path(request.folder)
    profiling = request.seconds == 0
    before, start = resident_mb(), perf_counter()
    importlib.import_module(f"edgenn.runtime.engines.{variant.engine}")
    imported = perf_counter()
    model = Model(
        bundle.manifest,
        variant,
        data,
        threads=request.threads,
        provider=request.provider,
        half=request.half,
        profile=str(folder / "profile") if profiling else None,
    )
    opened = perf_counter()
    tensor = item_tensor(model, item)
    ready = perf_counter()
    model.infer(tensor)
    first = perf_counter()
    reply = Reply(
        provider=getattr(model.engine, "provider", "cpu"),
        import_ms=(imported - start) * 1e3,
        init_ms=(opened - imported) * 1e3,
        first_ms=(first - ready) * 1e3,
    )
    if profiling:
        return dataclasses.replace(reply, profile=_profile(model, tensor))
    return _timed(model, tensor, request, reply, before)


def _timed(model: Model, tensor: Floats, request: Request, reply: Reply, before: float) -> Reply:
    """Infer for so many seconds, after a warm-up of a tenth of them."""
    warm = perf_counter() + request.seconds / 10
    count = 0
    while count < WARM_UPS or perf_counter() < warm:
        model.infer(tensor)
        count += 1
    memory = resident_mb() - before
    durations = array("d")
    begin, cpu, now = monotonic(), process_time(), perf_counter()
    end = now + request.seconds
    while now < end or len(durations) < WARM_UPS:
        model.infer(tensor)
        after = perf_counter()
        durations.append((after - now) * 1e3)
        now = after
    cpu_ms, finish = (process_time() - cpu) * 1e3 / len(durations), monotonic()
    np.save(durations_file(Path(request.folder)), np.asarray(durations))
    return dataclasses.replace(reply, cpu_ms=cpu_ms, memory_mb=memory, begin=begin, end=finish)


def _profile(model: Model, tensor: Floats) -> str | None:
    for _ in range(WARM_UPS + PROFILED - 1):
        model.infer(tensor)
    path = Path(model.engine.end_profiling())  # type: ignore[attr-defined]  # only who has it
    found = read_profile(path, WARM_UPS)
    return None if found is None else found.model_dump_json()


def input_name(manifest: Manifest) -> str:
    """What the nets are given."""
    return "golden sample 0" if manifest.golden else "generated"


def sample(bundle: Bundle) -> np.ndarray:
    """A picture of any size, one that has the net's size for clips, or readings."""
    manifest, spec = bundle.manifest, bundle.manifest.input
    if manifest.golden is not None:
        golden = unpack(bundle.read(manifest.golden.file), manifest, str(bundle.path))[0]
        if spec.kind == "image":
            return np.asarray(golden.raw[0] if spec.rate else golden.raw)
        return np.asarray(golden.raw)[-spec.length :]
    rng = np.random.default_rng(0)
    if spec.kind == "image":
        return rng.integers(0, 256, (*spec.size, 3)).astype(np.uint8)
    return rng.normal(0, 1, (spec.length, len(spec.channels))).astype(np.float32)


def item_tensor(model: Model, item: np.ndarray) -> Floats:
    """The prepared input, in memory of its own."""
    return model.preprocess(item)[0].copy()


def resident_mb() -> float:
    """Resident memory of this process in MiB; 0 where the system does not say."""
    try:
        text = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def main() -> None:
    """Answer one request."""
    request = Request(**json.loads(sys.stdin.readline()))
    notes, log = Notes(), logging.getLogger("edgenn")
    log.addHandler(notes)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        reply = measure(request)
    except EdgennError as error:
        reply = Reply(error=str(error))
    reply = dataclasses.replace(reply, notes=tuple(notes.lines))
    sys.stdout.write(json.dumps(dataclasses.asdict(reply)) + "\n")


if __name__ == "__main__":
    main()

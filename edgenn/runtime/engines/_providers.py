"""Where ONNX Runtime computes: what was wished and what is there make a list of plans to try.

No onnxruntime in here, so that every rule can be tested on a machine without a GPU:

- ``cpu``, ``cuda``, ``tensorrt``: that one. It is an error where it is missing or fails.
- ``auto``: TensorRT where its engine for this file was built before, for a build takes minutes;
  else CUDA, except for int8 files, for which CUDA has no kernels and would compute in float;
  else the CPU. One that fails makes way for the next, with its reason in the log.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import os
import platform
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from time import monotonic
from typing import Literal, TypeVar

from edgenn.errors import MissingExtraError, ModelError

Provider = Literal["auto", "cpu", "cuda", "tensorrt"]
Choice = tuple[str, dict[str, str]]
T = TypeVar("T")

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
NAMES = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT}
# Written beside an engine when it was built and had run: an interrupted build has none.
READY = "ready"
_TICK_S = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user asks of ONNX Runtime.

    Attributes:
        provider: Where to compute.
        half: TensorRT may compute in fp16.
        int8: The file has quantised layers, which TensorRT must be told.
    """

    provider: Provider = "auto"
    half: bool = False
    int8: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """One try.

    Attributes:
        name: ``cpu``, ``cuda`` or ``tensorrt``.
        providers: As onnxruntime takes them; later ones run what the first cannot.
        reason: Why this one.
        cache: Folder of TensorRT's engine; None for the others.
    """

    name: str
    providers: tuple[Choice, ...]
    reason: str
    cache: Path | None = None


ON_CPU = Plan("cpu", ((CPU, {}),), "")


def plans(wish: Wish, available: Sequence[str], cache: Path) -> list[Plan]:
    """What to try, in order.

    Args:
        wish: What the user wants.
        available: Providers that the installed onnxruntime was built with.
        cache: Where TensorRT's engine for this file is kept, from `cache_folder`.

    Returns:
        One plan for an explicit wish, one or more, of which the last is the CPU, for ``auto``.

    Raises:
        MissingExtraError: The wanted provider is not there; the message has the pip line.
    """
    if wish.provider != "auto":
        name = NAMES[wish.provider]
        if name not in available:
            raise MissingExtraError(
                f"the installed onnxruntime has no {name}: {pip_line(platform.machine())}"
            )
        return [_plan(wish.provider, wish, available, cache, "it was asked for")]
    found, without = [], []
    if TENSORRT in available:
        if (cache / READY).is_file():
            found.append(_plan("tensorrt", wish, available, cache, "its engine was built before"))
        else:
            without.append("TensorRT has no engine for this file yet (edgenn warm builds it)")
    if CUDA in available:
        if wish.int8:
            without.append("CUDA computes int8 files in float")
        else:
            found.append(
                _plan("cuda", wish, available, cache, "; ".join([*without, "CUDA is there"]))
            )
    reason = "; ".join(without) or "this onnxruntime has no other provider"
    return [*found, _plan("cpu", wish, available, cache, reason)]


def open_first(tries: Sequence[Plan], build: Callable[[Plan], T]) -> tuple[Plan, T]:
    """Open a session by the first plan that works, and say in the log which and why.

    Args:
        tries: From `plans`.
        build: Makes a session, or raises ModelError.

    Returns:
        The plan that worked, and its session.

    Raises:
        ModelError: What the last plan met.
    """
    for number, plan in enumerate(tries):
        # Nothing was chosen where there is nothing but a CPU: not worth a line in every run.
        chosen = plan.name != "cpu" or len(tries) > 1 or "no other provider" not in plan.reason
        try:
            with _told(plan):
                session = build(plan)
        except ModelError as error:
            if number + 1 == len(tries):
                raise ModelError(f"{error}{_remedy(plan)}") from error
            _log.warning("%s failed, %s is next: %s", plan.name, tries[number + 1].name, error)
            continue
        level = logging.INFO if chosen else logging.DEBUG
        _log.log(level, "onnxruntime computes on %s: %s", plan.name, plan.reason)
        return plan, session
    raise ModelError("there is no provider to try")


def check_used(plan: Plan, used: Sequence[str]) -> None:
    """Refuse a session that onnxruntime quietly opened without the provider.

    It does so where a library of CUDA or TensorRT is missing.

    Args:
        plan: What was wanted.
        used: What the session says it has.

    Raises:
        ModelError: The first provider is not among them.
    """
    wanted = plan.providers[0][0]
    if wanted not in used:
        raise ModelError(
            f"onnxruntime could not start {wanted}, mostly because a library of CUDA, cuDNN or "
            "TensorRT is missing or of another version than onnxruntime was built for"
        )


def warn_of_half(wish: Wish, plan: Plan) -> None:
    """Log that ``half`` was asked for and is of no use where the session computes."""
    if wish.half and plan.name != "tensorrt":
        _log.warning("--half has no effect on %s, it is for TensorRT", plan.name)


def cache_folder(data: bytes, wish: Wish, onnxruntime: str, tensorrt: str) -> Path:
    """Where TensorRT's engine for a file is kept: another for each file, version and precision.

    Args:
        data: The .onnx file.
        wish: Its ``half`` and ``int8`` are part of the name.
        onnxruntime: Version.
        tensorrt: Version, from `tensorrt_version`.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    root = Path(base) if base else Path(os.path.expanduser("~")) / ".cache"  # noqa: PTH111  no raise
    kind = ("fp16" if wish.half else "fp32") + ("-int8" if wish.int8 else "")
    digest = hashlib.sha256(data).hexdigest()[:16]
    return root / "edgenn" / "tensorrt" / f"{digest}-{kind}-ort{onnxruntime}-trt{tensorrt}"


def tensorrt_version() -> str:
    """Version of the TensorRT that would be loaded; "unknown" where none is found.

    The library knows it best; on a PC it may lie in a Python package, where the loader of
    shared libraries does not look.
    """
    for library in ("libnvinfer.so.10", "libnvinfer.so.8", "libnvinfer.so"):
        try:
            number = int(ctypes.CDLL(library).getInferLibVersion())
        except (OSError, AttributeError):
            continue
        step = 10000 if number >= 100000 else 1000  # 100300 is 10.3.0, 8601 is 8.6.1
        return f"{number // step}.{number % step // 100}.{number % 100}"
    for package in ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
    return "unknown"


def pip_line(machine: str) -> str:
    """How to get an onnxruntime with CUDA and TensorRT on this kind of processor."""
    where = " --index-url https://pypi.jetson-ai-lab.io/jp6/cu126" if machine == "aarch64" else ""
    line = f"pip uninstall onnxruntime && pip install onnxruntime-gpu{where}"
    return line + (" (JetPack 6; see docs/jetson.md)" if where else "")


def _plan(name: str, wish: Wish, available: Sequence[str], cache: Path, reason: str) -> Plan:
    rest: list[Choice] = [(CPU, {})]
    if name == "cpu":
        return Plan(name, tuple(rest), reason)
    cuda: list[Choice] = [(CUDA, {"device_id": "0"})] if CUDA in available else []
    if name == "cuda":
        return Plan(name, (*cuda, *rest), reason)
    options = {
        "device_id": "0",
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(cache),
        "trt_fp16_enable": str(wish.half),
        "trt_int8_enable": str(wish.int8),
    }
    return Plan(name, ((TENSORRT, options), *cuda, *rest), reason, cache)


@contextlib.contextmanager
def _told(plan: Plan) -> Iterator[None]:
    """Say that a build goes on, as it takes minutes, and mark its folder when it is done."""
    if plan.cache is None or (plan.cache / READY).is_file():
        yield
        return
    try:
        plan.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ModelError(
            f"cannot keep TensorRT's engine in {plan.cache}: {error.strerror}; "
            "name another folder with XDG_CACHE_HOME"
        ) from error
    _log.info("TensorRT builds its engine, which can take minutes; it is kept in %s", plan.cache)
    begun, done = monotonic(), threading.Event()

    def tick() -> None:
        while not done.wait(_TICK_S):
            _log.info("TensorRT still builds, %.0f s so far", monotonic() - begun)

    ticker = threading.Thread(target=tick, name="tensorrt-build", daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()
    seconds = monotonic() - begun
    if any(plan.cache.glob("*.engine")):
        (plan.cache / READY).write_text(f"{seconds:.1f} s\n", encoding="utf-8")
        _log.info("TensorRT built its engine in %.0f s", seconds)
    else:
        _log.warning("TensorRT built no engine: it can run no part of this model, or not yet")


def _remedy(plan: Plan) -> str:
    if plan.cache is None or not (plan.cache / READY).is_file():
        return ""
    return f"; if the engine kept for it is damaged, delete {plan.cache}"

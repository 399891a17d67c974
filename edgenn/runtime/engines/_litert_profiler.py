"""What each operator takes in LiteRT, by the profiler in its C library.

LiteRT's Python package ships ``libLiteRt.so``, whose compiled model has a profiler that knows
XNNPACK's operators too; the interpreter of the package reaches neither. So the net is run a second
time, on the same inputs, through the C interface (litert/c in LiteRT's sources): for a profile that
costs nothing, and what is timed otherwise stays the interpreter alone.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable, Mapping
from ctypes import byref, c_char_p, c_int, c_int64, c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

from edgenn.errors import ModelError

_LIBRARY = "libLiteRt.so"
_CPU = 1
_WRITE = 1
# Kinds of events: an operator of the interpreter, and one inside of a delegate.
_OPERATOR, _IN_DELEGATE = 2, (4, 8)
_UNTOUCHED = 0xA5
_ROOM = 256
_RANKED_TYPE = ctypes.c_byte * 256  # more than any version needs
_Deleter = ctypes.CFUNCTYPE(None, c_void_p)


class _Event(ctypes.Structure):
    """``ProfiledEventData``; its memory usage has three numbers where the headers show two."""

    _fields_ = (
        ("tag", c_char_p),
        ("kind", c_int),
        ("start_us", c_uint64),
        ("elapsed_us", c_uint64),
        ("memory", c_int64 * 6),
        ("index", c_uint64),
        ("subgraph", c_uint64),
        ("source", c_int),
    )


class Recorder:
    """A compiled model with a running profiler; it stays until the process ends, which is soon.

    Args:
        data: The .tflite file.
        threads: Worker threads; 0 lets LiteRT choose.

    Raises:
        ModelError: This LiteRT has no profiler that can be read, or cannot run the file so.
    """

    def __init__(self, data: bytes, threads: int) -> None:
        self._call = _library()
        self._kept: list[Any] = [ctypes.create_string_buffer(data, len(data))]
        self._environment, self._model = c_void_p(), c_void_p()
        self._call("LiteRtCreateEnvironment", c_int(0), None, byref(self._environment))
        self._call(
            "LiteRtCreateModelFromBuffer",
            self._environment,
            byref(self._kept[0]),
            c_size_t(len(data)),
            byref(self._model),
        )
        self._compile(threads)
        self._signature = c_void_p()
        self._call("LiteRtGetModelSignature", self._model, c_size_t(0), byref(self._signature))
        ins, outs = self._buffers("Input"), self._buffers("Output")
        self._inputs = dict(ins)
        self._arguments = (
            c_size_t(len(ins)),
            (c_void_p * len(ins))(*(buffer for _, buffer in ins)),
            c_size_t(len(outs)),
            (c_void_p * len(outs))(*(buffer for _, buffer in outs)),
        )
        self._call("LiteRtStartProfiler", self._profiler)

    def _compile(self, threads: int) -> None:
        options, self._compiled, self._profiler = c_void_p(), c_void_p(), c_void_p()
        self._call("LiteRtCreateOptions", byref(options))
        self._call("LiteRtSetOptionsHardwareAccelerators", options, c_int(_CPU))
        self._option(options, b"runtime_options_string", "enable_profiling = true\n")
        if threads:
            self._option(options, b"xnnpack", f"num_threads = {threads}\n")
        self._call(
            "LiteRtCreateCompiledModel",
            self._environment,
            self._model,
            options,
            byref(self._compiled),
        )
        self._call("LiteRtCompiledModelGetProfiler", self._compiled, byref(self._profiler))
        if not self._profiler:
            raise ModelError("LiteRT gave no profiler")

    def _option(self, options: c_void_p, name: bytes, text: str) -> None:
        """Add options that LiteRT reads as TOML; their memory stays this object's."""
        opaque, payload = c_void_p(), ctypes.create_string_buffer(text.encode())
        deleter = _Deleter(lambda _: None)
        self._kept += [payload, deleter]
        self._call(
            "LiteRtCreateOpaqueOptions",
            c_char_p(name),
            ctypes.cast(payload, c_void_p),
            deleter,
            byref(opaque),
        )
        self._call("LiteRtAddOpaqueOptions", options, opaque)

    def _buffers(self, side: str) -> list[tuple[str, c_void_p]]:
        """Names and buffers of the signature's inputs or outputs."""
        count, found = c_size_t(), []
        self._call(f"LiteRtGetNumSignature{side}s", self._signature, byref(count))
        for index in map(c_size_t, range(count.value)):
            tensor, needs, buffer = c_void_p(), c_void_p(), c_void_p()
            name, kind = c_char_p(), _RANKED_TYPE()
            self._call(
                f"LiteRtGetSignature{side}TensorByIndex", self._signature, index, byref(tensor)
            )
            self._call("LiteRtGetTensorName", tensor, byref(name))
            self._call("LiteRtGetRankedTensorType", tensor, byref(kind))
            self._call(
                f"LiteRtGetCompiledModel{side}BufferRequirements",
                self._compiled,
                c_size_t(0),
                index,
                byref(needs),
            )
            self._call(
                "LiteRtCreateManagedTensorBufferFromRequirements",
                self._environment,
                byref(kind),
                needs,
                byref(buffer),
            )
            found.append(((name.value or b"").decode(errors="replace"), buffer))
        return found

    def run(self, codes: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """One inference on arrays of the file's own types, by the names of its tensors.

        Raises:
            ModelError: Tensors of another name or size than the file's signature has.
        """
        if codes.keys() != self._inputs.keys():
            raise ModelError(f"its signature takes {sorted(self._inputs)}, not {sorted(codes)}")
        for name, value in codes.items():
            self._fill(name, np.ascontiguousarray(value))
        self._call("LiteRtRunCompiledModel", self._compiled, c_size_t(0), *self._arguments)

    def _fill(self, name: str, value: np.ndarray[Any, Any]) -> None:
        buffer, size, address = self._inputs[name], c_size_t(), c_void_p()
        self._call("LiteRtGetTensorBufferPackedSize", buffer, byref(size))
        if size.value != value.nbytes:
            raise ModelError(f"its input {name} takes {size.value} bytes, not {value.nbytes}")
        self._call("LiteRtLockTensorBuffer", buffer, byref(address), c_int(_WRITE))
        ctypes.memmove(address, value.ctypes.data, value.nbytes)
        self._call("LiteRtUnlockTensorBuffer", buffer)

    def events(self) -> list[dict[str, Any]]:
        """Operators in the order in which they ran, as `edgenn.runtime.bench.profile` reads them.

        Raises:
            ModelError: LiteRT tells them in a way that this file does not know.
        """
        count = c_int()
        self._call("LiteRtStopProfiler", self._profiler)
        self._call("LiteRtGetNumProfilerEvents", self._profiler, byref(count))
        room = np.full(count.value * _ROOM, _UNTOUCHED, np.uint8)
        events = (_Event * count.value).from_buffer(room.data)
        self._call("LiteRtGetProfilerEvents", self._profiler, count, byref(events))
        # No header says which layout a library was built with, and a wrong guess reads nonsense.
        written = int(np.flatnonzero(room != _UNTOUCHED)[-1:].sum()) + 1
        if -(-written // 8) * 8 != ctypes.sizeof(events):
            raise ModelError("LiteRT's profiler writes events of a form that edgenn does not know")
        return _named(events)


def _named(events: ctypes.Array[_Event]) -> list[dict[str, Any]]:
    """Operators alone, each with a name that it has in every run."""
    found, place = [], 0
    for event in events:
        tag = (event.tag or b"").decode(errors="replace")
        # What a branch or a loop runs is in the time of the operator that has it.
        is_own = event.kind == _OPERATOR and event.subgraph == 0
        if not is_own and event.kind not in _IN_DELEGATE:
            place = 0 if tag == "Invoke" else place
            continue
        args = {"op_name": tag, "provider": "LiteRT" if is_own else "XNNPACK"}
        name = f"{place} {tag}_kernel_time"
        found.append({"cat": "Node", "name": name, "dur": int(event.elapsed_us), "args": args})
        place += 1
    return found


def _library() -> Callable[..., None]:
    """A function that calls LiteRT's by name and raises what it answers."""
    spec = importlib.util.find_spec("ai_edge_litert")
    folders = [] if spec is None else spec.submodule_search_locations or []
    path = next((p for f in folders if (p := Path(f, _LIBRARY)).exists()), None)
    library = None if path is None else ctypes.CDLL(str(path))
    # The versions that have this one take the arguments above.
    if library is None or not hasattr(library, "LiteRtGetProfileSummary"):
        raise ModelError("this LiteRT has no profiler that can be read; 2.1.6 and later have one")

    def call(name: str, *arguments: Any) -> None:  # noqa: ANN401  of C
        function = getattr(library, name, None)
        if function is None:
            raise ModelError(f"this LiteRT has no {name}")
        function.restype = c_int
        if status := function(*arguments):
            raise ModelError(f"{name} of LiteRT answered {status}")

    return call

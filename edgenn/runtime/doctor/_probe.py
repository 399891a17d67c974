"""Imports one package and says what it is; runs as a script of its own, which may crash."""

from __future__ import annotations

import base64
import importlib
import json
import sys
from pathlib import Path

MARK = "edgenn-probe:"
# A .tflite file with one graph that has nothing in it: tflite-runtime can be imported beside
# NumPy 2, and fails when a model is loaded.
_EMPTY = base64.b64decode(
    "GAAAAFRGTDMAAA4AFAAQAAwACAAAAAQADgAAAEAAAAAQAAAACAAAAAMAAAAAAAAAAQAAABAAAAAMABQAEAAMAAgABAAM"
    "AAAAEAAAAAwAAAAIAAAABAAAAAAAAAABAAAACAAAAAQABAAEAAAA"
)


def describe(name: str) -> dict[str, object]:
    """Import a module, try it, and tell what only it knows."""
    module = importlib.import_module(name)
    said: dict[str, object] = {
        "version": str(getattr(module, "__version__", "")),
        "file": getattr(module, "__file__", None) or "",
    }
    if hasattr(module, "Interpreter"):
        module.Interpreter(model_content=_EMPTY).allocate_tensors()
    if name == "cv2":
        lines = module.getBuildInformation().splitlines()
        pairs = (line.split(":", 1) for line in lines if ":" in line)
        build = {key.strip(): value.strip() for key, value in pairs}
        said["gstreamer"] = build.get("GStreamer", "NO").startswith("YES")
        said["gui"] = build.get("GUI", "") not in ("", "NONE")
    if name == "onnxruntime":
        said["providers"] = list(module.get_available_providers())
    return said


if __name__ == "__main__":
    here = str(Path(__file__).parent)
    sys.path[:] = [path for path in sys.path if path != here]
    sys.stdout.write(f"\n{MARK}{json.dumps(describe(sys.argv[1]))}\n")

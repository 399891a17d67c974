"""Imports one package and says what it is; runs as a script of its own, which may crash."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

MARK = "edgenn-probe:"


def describe(name: str) -> dict[str, object]:
    """Import a module and tell what only it knows."""
    module = importlib.import_module(name)
    said: dict[str, object] = {
        "version": str(getattr(module, "__version__", "")),
        "file": getattr(module, "__file__", None) or "",
    }
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

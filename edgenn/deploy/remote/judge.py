"""Whether a new release computes what was trained, and which of its variants is the fastest."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgenn.deploy.remote.talk import Line, RefusedError, last_line

_NO_SUCH_COMMAND = 2
# Runs in the new environment; argument: bundle, engine, precision. Median of one inference.
_TIME = """
import statistics, sys, time
import edgenn
from edgenn.bundle.store import open_bundle
from edgenn.runtime.golden import unpack
path, engine, precision = sys.argv[1:]
from pathlib import Path
bundle = open_bundle(Path(path))
model = edgenn.load(path, engine=engine, precision=precision)
spec = bundle.manifest.input
raw = unpack(bundle.read(bundle.manifest.golden.file), bundle.manifest, path)[0].raw
if spec.kind == "window":
    tensor = model.preprocess(raw[-spec.length:])[0]
elif spec.rate:
    tensor = model.finish_image(raw[0])
else:
    tensor = model.preprocess(raw)[0]
times, end = [], time.perf_counter() + 2
while len(times) < 5 or (len(times) < 60 and time.perf_counter() < end):
    start = time.perf_counter()
    model.infer(tensor)
    times.append(time.perf_counter() - start)
print("edgenn-ms", statistics.median(times[2:]) * 1e3)
"""


def doctor(line: Line, release: Path) -> str:
    """What ``edgenn doctor`` complains of; empty where all is well or there is no such command."""
    answer = line.run([release / "venv/bin/edgenn", "doctor", "--json"])
    if answer.returncode in (0, _NO_SUCH_COMMAND):
        return ""
    return last_line(answer.stderr)


def verify(line: Line, release: Path) -> tuple[list[str], list[str]]:
    """Replay the golden samples with every variant.

    Returns:
        Files that pass, and a sentence for each that does not.

    Raises:
        RefusedError: None passes.
    """
    answer = line.run([release / "venv/bin/edgenn", "verify", "--json", release / "model.edgenn"])
    checks = _json(answer)
    if not isinstance(checks, list):
        raise RefusedError(f"the bundle does not verify there: {last_line(answer.stderr)}")
    passed = [check["file"] for check in checks if check["status"] == "pass"]
    failed = [f"{c['file']}: {c['reason']}" for c in checks if c["status"] == "fail"]
    if not passed:
        raise RefusedError(f"the bundle does not verify there: {'; '.join(failed)}")
    return passed, failed


def measure(line: Line, release: Path, variants: Sequence[dict[str, str]]) -> dict[str, float]:
    """Milliseconds of an inference, by file; the one place that knows how times are taken.

    Args:
        line: Runs the commands.
        release: The new release.
        variants: ``file``, ``engine`` and ``precision`` of each.
    """
    times: dict[str, float] = {}
    for variant in variants:
        python, model = release / "venv/bin/python", release / "model.edgenn"
        wanted = (variant["engine"], variant["precision"])
        answer = line.run([python, "-c", _TIME, model, *wanted])
        for text in answer.stdout.splitlines():
            if text.startswith("edgenn-ms "):
                times[variant["file"]] = float(text.split()[1])
        if variant["file"] not in times:
            raise RefusedError(
                f"{variant['file']} cannot be timed there: {last_line(answer.stderr)}"
            )
    return times


def _json(answer: subprocess.CompletedProcess[str]) -> Any:  # noqa: ANN401  what it says
    try:
        return json.loads(answer.stdout)
    except ValueError:
        return None

"""Whether a new release computes what was trained, and which of its variants is the fastest."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgenn.deploy.remote.talk import Line, RefusedError, last_line

_NO_SUCH_COMMAND = 2
# One thread, as edgenn run; a second tells which file is the fastest.
_BENCH = ("--threads", "1", "--duration", "1", "--rounds", "1", "--no-profile", "--json", "-")


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
    answer = line.run([release / "venv/bin/edgenn", "bench", release / "model.edgenn", *_BENCH])
    report = _json(answer)
    if not isinstance(report, dict):
        raise RefusedError(f"the bundle cannot be timed there: {last_line(answer.stderr)}")
    cases = {case["file"]: case for case in report["cases"]}
    times: dict[str, float] = {}
    for variant in variants:
        case = cases.get(variant["file"], {"error": "it is not in the report"})
        if case["error"]:
            raise RefusedError(f"{variant['file']} cannot be timed there: {case['error']}")
        times[variant["file"]] = float(case["p50_ms"])
    return times


def _json(answer: subprocess.CompletedProcess[str]) -> Any:  # noqa: ANN401  what it says
    try:
        return json.loads(answer.stdout)
    except ValueError:
        return None

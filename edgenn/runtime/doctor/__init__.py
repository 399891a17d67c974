"""What this device is, and what on it will be in the way: ``edgenn doctor``.

It needs nothing but Python's standard library and starts where NumPy or OpenCV cannot be
imported; every package is tried in a process of its own. docs/doctor.md describes the JSON form.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import edgenn
from edgenn.runtime.doctor.checks import problems
from edgenn.runtime.doctor.facts import Facts, gather
from edgenn.runtime.doctor.host import Host
from edgenn.runtime.doctor.problem import Problem
from edgenn.runtime.doctor.software import Software

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Report:
    """Facts, and what is wrong with them, the worst first."""

    facts: Facts
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that have to be mended."""
        return tuple(p for p in self.problems if p.severity == "error")

    def to_json(self) -> dict[str, Any]:
        """The stable form: fields are added under the same `SCHEMA`, never renamed or dropped."""
        return {
            "schema": SCHEMA,
            "edgenn": edgenn.__version__,
            "ok": not self.errors,
            "problems": [asdict(problem) for problem in self.problems],
            **asdict(self.facts),
        }


def examine(
    root: Path = Path("/"), host: Host | None = None, software: Software | None = None
) -> Report:
    """Look at the device; takes some seconds, as packages are imported for trial.

    Args:
        root: Where /proc, /sys, /dev, /etc and /run are.
        host: The machine and its user; None means this one.
        software: What is installed; None means what this Python can import.
    """
    facts = gather(root, host, software)
    return Report(facts, problems(facts))

"""Two reports against each other, if they can be compared at all."""

from __future__ import annotations

from dataclasses import dataclass

from edgenn.errors import UsageError
from edgenn.runtime.bench.report import Case, Report

# What has to be the same; the rest of a machine may be what is being compared.
_MACHINE = ("board", "cpu", "features", "cores", "governor", "max_mhz")
_SETTINGS = ("seconds", "rounds", "threads", "input")
# The kernel keeps a little more or less of the memory for itself from version to version.
_SAME_MEMORY = 0.02


@dataclass(frozen=True, slots=True)
class Ratio:
    """One case of both reports; each number is that of the second over that of the first.

    Attributes:
        file: Variant.
        threads: Of the engine.
        p50: Median latency.
        p99: Its 99th percentile.
        cpu: CPU time.
        memory: Resident memory added.
        in_noise: The medians of the rounds overlap: no difference was shown.
    """

    file: str
    threads: int
    p50: float
    p99: float
    cpu: float
    memory: float
    in_noise: bool


def compare(a: Report, b: Report) -> list[Ratio]:
    """Ratios of the cases that both reports have numbers for.

    Raises:
        UsageError: The reports are not comparable, with all that differs, or share no case.
    """
    faults = differences(a, b)
    if faults:
        raise UsageError(f"the two runs are not comparable: {'; '.join(faults)}")
    others = {_key(case): case for case in b.cases if not case.error}
    ratios = [
        _ratio(case, others[_key(case)])
        for case in a.cases
        if not case.error and _key(case) in others
    ]
    if not ratios:
        raise UsageError("the two runs have no case in common")
    return ratios


def differences(a: Report, b: Report) -> list[str]:
    """What forbids a comparison; empty if nothing does."""
    faults = []
    if a.bundle_sha256 != b.bundle_sha256:
        faults.append(
            f"bundle {a.bundle} {a.bundle_sha256[:12]} and {b.bundle} {b.bundle_sha256[:12]}"
        )
    for part, names in (("machine", _MACHINE), ("settings", _SETTINGS)):
        one, two = getattr(a, part), getattr(b, part)
        faults += [
            f"{part} {name} {_shown(getattr(one, name))} and {_shown(getattr(two, name))}"
            for name in names
            if getattr(one, name) != getattr(two, name)
        ]
    memory = (a.machine.memory_mb, b.machine.memory_mb)
    if max(memory) - min(memory) > _SAME_MEMORY * max(memory):
        faults.append(f"machine memory {memory[0]} and {memory[1]} MiB")
    return faults


def notes(a: Report, b: Report) -> list[str]:
    """What else differs: versions, kernel, provider. It may be what is being compared."""
    found = []
    if a.machine.kernel != b.machine.kernel:
        found.append(f"kernel {a.machine.kernel} and {b.machine.kernel}")
    for name in sorted({*a.machine.versions, *b.machine.versions}):
        old, new = a.machine.versions.get(name, "none"), b.machine.versions.get(name, "none")
        if old != new:
            found.append(f"{name} {old} and {new}")
    one, two = a.settings, b.settings
    if (one.provider, one.half) != (two.provider, two.half):
        found.append(
            f"provider {one.provider}{' half' * one.half} and {two.provider}{' half' * two.half}"
        )
    return found


def _key(case: Case) -> tuple[str, int]:
    return case.file, case.threads


def _ratio(a: Case, b: Case) -> Ratio:
    slow, fast = (a, b) if a.p50_ms > b.p50_ms else (b, a)
    return Ratio(
        a.file,
        a.threads,
        b.p50_ms / a.p50_ms,
        b.p99_ms / a.p99_ms,
        _over(b.cpu_ms, a.cpu_ms),
        _over(b.memory_mb, a.memory_mb),
        min(slow.round_p50_ms, default=0) <= max(fast.round_p50_ms, default=0),
    )


def _over(new: float, old: float) -> float:
    return new / old if old > 0 else float("nan")


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return str(value) or "unknown"

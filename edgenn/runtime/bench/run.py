"""Runs the cases of a benchmark in turns, each time in a new process.

Rounds are interleaved, every other one backwards, so that a fan, a hot processor or another
program hits all cases alike. A process per case and round keeps the memory of one engine out of
the next, needs no more memory than the largest case, and gives several cold starts.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from time import monotonic, sleep

import numpy as np

from edgenn.bundle.manifest import EngineName, Precision, Variant
from edgenn.bundle.store import MANIFEST, Bundle, open_bundle
from edgenn.errors import MissingExtraError, UsageError
from edgenn.runtime.bench.energy import SYS, Meter
from edgenn.runtime.bench.fingerprint import fingerprint
from edgenn.runtime.bench.measure import Reply, Request, durations_file, input_name
from edgenn.runtime.bench.report import Case, Profile, Report, Settings
from edgenn.runtime.engines._providers import Provider
from edgenn.runtime.files import installed, on_gpu, resolve

# Starting and loading on a slow board; TensorRT builds for minutes.
_PATIENCE_S = {"tensorrt": 3600.0}
_IDLE_S = 1.0
_log = logging.getLogger(__name__)
Tick = Callable[[str], object]


@dataclasses.dataclass(slots=True)
class _Open:
    """A case while it is measured."""

    variant: Variant
    threads: int
    replies: list[Reply] = dataclasses.field(default_factory=list)
    rounds: list[np.ndarray] = dataclasses.field(default_factory=list)
    error: str = ""
    profile: Profile | None = None
    note: str = ""


def bench(
    path: str | Path,
    *,
    engines: Sequence[EngineName] = (),
    precisions: Sequence[Precision] = (),
    threads: Sequence[int] = (1,),
    seconds: float = 10.0,
    rounds: int = 3,
    provider: Provider = "auto",
    half: bool = False,
    profile: bool = True,
    tick: Tick = str,
    sysfs: Path = SYS,
) -> Report:
    """Measure the variants of a bundle.

    Args:
        path: Bundle, or name of a built-in model.
        engines: Only these; empty for all.
        precisions: Only these; empty for all.
        threads: Thread counts to give each engine.
        seconds: Timed inference per case, over all rounds.
        rounds: Into which it is divided.
        provider: See `edgenn.load`; "cuda" and "tensorrt" leave out other engines.
        half: See `edgenn.load`.
        profile: Also say what each operator takes, where the engine can.
        tick: Is told of every process that is done, by the name of its case; there are
            `steps` of them.
        sysfs: Where the power sensors are.

    Raises:
        BundleError: Damaged.
        UsageError: No variant fits, or the path is a bare model file.
        MissingExtraError: Not one of the variants has its engine installed.
    """
    found = resolve(path)
    if found.is_file() and found.suffix in (".onnx", ".tflite"):
        raise UsageError(f"{found} is a bare model file; bench measures its bundle")
    bundle = open_bundle(found)
    variants, skipped = _chosen(bundle, engines, precisions, provider)
    cases = [_Open(variant, count) for variant in variants for count in threads]
    if provider == "tensorrt":
        _log.info("TensorRT builds an engine for each new file in the first round: minutes each")
    load = os.getloadavg()[0]
    base = Request(str(found.resolve()), "", 0, provider, half, seconds / rounds, "")
    with tempfile.TemporaryDirectory() as folder, Meter(sysfs) as meter:
        base = dataclasses.replace(base, folder=folder)
        begun = monotonic()
        if not meter.source.startswith("none"):
            sleep(_IDLE_S)
        idle = meter.joules(begun + 0.1, monotonic() - 0.05)
        watts = None if idle is None else idle / (monotonic() - begun - 0.15)
        for number in range(rounds):
            for case in cases[:: -1 if number % 2 else 1]:
                _round(case, base)
                tick(_name(case))
        if profile:
            for case in cases:
                _profile(case, base)
                tick(_name(case))
        done = tuple(_closed(case, meter, watts) for case in cases)
    return Report(
        taken=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        bundle=bundle.manifest.name,
        bundle_sha256=hashlib.sha256(bundle.read(MANIFEST)).hexdigest(),
        machine=fingerprint(),
        settings=Settings(
            seconds=seconds,
            rounds=rounds,
            threads=tuple(threads),
            provider=provider,
            half=half,
            input=input_name(bundle.manifest),
        ),
        energy=meter.source,
        idle_watts=watts,
        load=load,
        cases=done,
        skipped=skipped,
    )


def steps(
    path: str | Path,
    *,
    engines: Sequence[EngineName] = (),
    precisions: Sequence[Precision] = (),
    threads: Sequence[int] = (1,),
    rounds: int = 3,
    provider: Provider = "auto",
    profile: bool = True,
) -> int:
    """How often `bench` calls ``tick`` with these arguments; raises what it raises."""
    variants, _ = _chosen(open_bundle(resolve(path)), engines, precisions, provider)
    return len(variants) * len(threads) * (rounds + profile)


def _chosen(
    bundle: Bundle,
    engines: Sequence[EngineName],
    precisions: Sequence[Precision],
    provider: Provider,
) -> tuple[list[Variant], dict[str, str]]:
    """Variants to measure, and the others that were wanted with what is missing."""
    if provider in ("cuda", "tensorrt"):
        on_gpu(provider, engines[0] if len(engines) == 1 else "auto", None)
        engines = ("onnx",)
    wanted = [
        v
        for v in bundle.manifest.variants
        if (not engines or v.engine in engines) and (not precisions or v.precision in precisions)
    ]
    if not wanted:
        there = ", ".join(f"{v.engine} {v.precision}" for v in bundle.manifest.variants)
        raise UsageError(f"{bundle.path} has no such variant; it has {there or 'none'}")
    here = installed()
    skipped = {
        v.file: f"engine not installed: pip install 'edgenn[{v.engine}]'"
        for v in wanted
        if v.engine not in here
    }
    variants = [v for v in wanted if v.file not in skipped]
    if not variants:
        raise MissingExtraError(f"no engine for {bundle.path} is here: {skipped[wanted[0].file]}")
    return variants, skipped


def _round(case: _Open, base: Request) -> None:
    if case.error:
        return  # it would fail again
    reply = _ask(dataclasses.replace(base, file=case.variant.file, threads=case.threads))
    for note in reply.notes:
        _log.log(logging.DEBUG if case.replies else logging.INFO, "%s: %s", _name(case), note)
    if reply.error:
        case.error = reply.error
        return
    case.replies.append(reply)
    case.rounds.append(np.load(durations_file(Path(base.folder))))


def _profile(case: _Open, base: Request) -> None:
    if case.error:
        case.note = "it could not be run"
        return
    request = dataclasses.replace(base, file=case.variant.file, threads=case.threads, seconds=0.0)
    reply = _ask(request)
    if reply.profile is None:
        case.note = reply.error or "the profile has no operator in it"
        return
    case.profile = Profile.model_validate_json(reply.profile)


def _ask(request: Request) -> Reply:
    """Let a new process do it; what goes wrong with that process is the reply's error."""
    patience = 120.0 + 10 * request.seconds + _PATIENCE_S.get(request.provider, 0.0)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "edgenn.runtime.bench.measure"],
            input=json.dumps(dataclasses.asdict(request)) + "\n",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Reply(error=f"it did not answer within {patience:.0f} s")
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        words = done.stderr.strip().splitlines()
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"code {done.returncode}"
        return Reply(error=f"its process ended with {how}: {words[-1] if words else 'no message'}")
    return Reply(**json.loads(lines[-1]))


def _closed(case: _Open, meter: Meter, idle_watts: float | None) -> Case:
    """The numbers of a case; a case that failed once has none, as the rest would mislead."""
    head = {
        "file": case.variant.file,
        "engine": case.variant.engine,
        "precision": case.variant.precision,
        "threads": case.threads,
    }
    if case.error:
        return Case(**head, error=case.error, profile_note=case.note)
    every, replies = np.concatenate(case.rounds), case.replies
    p50, p95, p99 = (float(x) for x in np.percentile(every, (50, 95, 99)))
    weights = [len(row) for row in case.rounds]
    energy, above = _energy(case, meter, idle_watts)
    return Case(
        **head,
        provider=replies[-1].provider,
        import_ms=median(r.import_ms for r in replies),
        init_ms=median(r.init_ms for r in replies),
        first_ms=median(r.first_ms for r in replies),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        mean_ms=float(every.mean()),
        cpu_ms=float(np.average([r.cpu_ms for r in replies], weights=weights)),
        count=len(every),
        round_p50_ms=tuple(float(np.median(row)) for row in case.rounds),
        memory_mb=median(r.memory_mb for r in replies),
        energy_mj=energy,
        above_idle_mj=above,
        profile=case.profile,
        profile_note=case.note,
    )


def _energy(
    case: _Open, meter: Meter, idle_watts: float | None
) -> tuple[float | None, float | None]:
    """Millijoules per inference, with and without what the idle board takes."""
    parts = [meter.joules(r.begin, r.end) for r in case.replies]
    known = [part for part in parts if part is not None]
    if len(known) != len(parts):
        return None, None
    count = sum(len(row) for row in case.rounds)
    total = sum(known) * 1e3 / count
    if idle_watts is None:
        return total, None
    return total, total - idle_watts * sum(r.end - r.begin for r in case.replies) * 1e3 / count


def _name(case: _Open) -> str:
    return f"{case.variant.file} x{case.threads}"

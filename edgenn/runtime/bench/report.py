"""The report of a benchmark: a strict, versioned JSON document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from edgenn.errors import UsageError, faults

SCHEMA_VERSION = 1
_OWN_CORE = 0.9


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Machine(_Strict):
    """Where it was measured.

    Attributes:
        board: What the device tree or the firmware calls it; empty where neither says.
        cpu: Model of the processor.
        features: Instructions that matter to nets, sorted.
        cores: That this process may use.
        governor: Of the clock; empty where the kernel has none.
        max_mhz: Highest clock; 0 where not known.
        memory_mb: Of the machine, in MiB.
        kernel: Release and architecture.
        versions: Of Python, edgenn, NumPy, OpenCV and the engines.
    """

    board: str
    cpu: str
    features: tuple[str, ...]
    cores: int
    governor: str
    max_mhz: int
    memory_mb: int
    kernel: str
    versions: dict[str, str]


class Settings(_Strict):
    """What was asked for.

    Attributes:
        seconds: Timed inference per case, over all rounds.
        rounds: Into which it is divided; the cases take turns.
        threads: Of the engines.
        provider: See `edgenn.load`.
        half: See `edgenn.load`.
        input: What the nets were given: ``golden sample 0`` or ``generated``.
    """

    seconds: float
    rounds: int
    threads: tuple[int, ...]
    provider: Literal["auto", "cpu", "cuda", "tensorrt"]
    half: bool
    input: str


class Op(_Strict):
    """One node, or all nodes of a type.

    Attributes:
        name: Of the node or the type.
        provider: Where it ran.
        count: Nodes.
        us: Microseconds per inference, median for a node, their sum for a type.
        share: Of the sum over all nodes, 0..1.
    """

    name: str
    provider: str
    count: int
    us: float
    share: float


class Profile(_Strict):
    """Where the time goes, from a run of its own, as profiling slows down.

    Attributes:
        runs: Inferences that it is made of, warm ones only.
        types: By type of operator, slowest first.
        nodes: The slowest nodes, slowest first.
    """

    runs: int
    types: tuple[Op, ...]
    nodes: tuple[Op, ...]


class Case(_Strict):
    """One variant at one thread count. Times are of one inference, in milliseconds.

    Attributes:
        file: In the bundle.
        engine: Name of the engine.
        precision: Of the variant.
        threads: That the engine was given.
        provider: Where it computed; empty if it did not.
        error: Why there are no numbers; empty if there are.
        import_ms: Importing the engine's library, median over the rounds.
        init_ms: Loading the model, median over the rounds.
        first_ms: First inference, median over the rounds.
        p50_ms: Warm inference, over all rounds.
        p95_ms: The same.
        p99_ms: The same.
        mean_ms: The same.
        cpu_ms: CPU time of all threads.
        count: Timed inferences.
        round_p50_ms: The median of each round: how far they lie apart is the noise.
        memory_mb: Resident MiB that the engine and the model added, median over the rounds.
        energy_mj: Millijoules of the board per inference; None where it cannot say.
        above_idle_mj: The same without what the board takes when idle.
        profile: None where there is none.
        profile_note: Why there is none.
    """

    file: str
    engine: str
    precision: str
    threads: int
    provider: str = ""
    error: str = ""
    import_ms: float = 0.0
    init_ms: float = 0.0
    first_ms: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    mean_ms: float = 0.0
    cpu_ms: float = 0.0
    count: int = 0
    round_p50_ms: tuple[float, ...] = ()
    memory_mb: float = 0.0
    energy_mj: float | None = None
    above_idle_mj: float | None = None
    profile: Profile | None = None
    profile_note: str = ""


class Report(_Strict):
    """All of it.

    Attributes:
        schema_version: Version of this document's form.
        taken: When, UTC, ISO 8601.
        bundle: Name of the model.
        bundle_sha256: Of its manifest, which has the hash of every file.
        machine: Where.
        settings: How.
        energy: What measured it, or why nothing did.
        idle_watts: Of the board before the first round; None where it cannot say.
        load: Programs that wanted a core in the minute before the first round, on average.
        cases: Of variants that could be tried, in the order of the manifest.
        skipped: Other variants that were wanted, and why they were not tried.
    """

    schema_version: Literal[1] = 1
    taken: str
    bundle: str
    bundle_sha256: str
    machine: Machine
    settings: Settings
    energy: str
    idle_watts: float | None
    load: float
    cases: tuple[Case, ...]
    skipped: dict[str, str] = {}

    def disturbance(self) -> str:
        """Why latencies in it are not to be trusted, as a sentence; empty if nothing is known.

        A net with one thread on the CPU keeps a core for all its time, unless another program
        wants the core as well.
        """
        alone = [c for c in self.cases if not c.error and (c.threads, c.provider) == (1, "cpu")]
        share = min((case.cpu_ms / case.mean_ms for case in alone), default=1.0)
        if share >= _OWN_CORE and self.load <= self.machine.cores / 2:
            return ""
        return (
            f"the machine was busy (load {self.load:.1f} on {self.machine.cores} cores before, "
            f"a net had {share:.0%} of a core): trust the CPU time, not the latency"
        )

    def to_json(self) -> str:
        """Indented JSON, keys in the order of this class."""
        return self.model_dump_json(indent=1)


def read_report(path: Path) -> Report:
    """Read what `Report.to_json` wrote.

    Raises:
        UsageError: Missing, no report, or of another schema version.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no report of edgenn bench: {error}") from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != SCHEMA_VERSION:
        raise UsageError(
            f"{path} has schema version {version!r}, but this edgenn reads {SCHEMA_VERSION}"
        )
    try:
        return Report.model_validate(raw)
    except ValidationError as error:
        raise UsageError(f"{path} is no report of edgenn bench: {faults(error, 1)}") from error

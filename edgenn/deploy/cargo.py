"""What is brought to a device: edgenn itself as a wheel, and the bundle."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import edgenn
from edgenn.bundle.manifest import Manifest
from edgenn.bundle.store import MANIFEST, Bundle, hashes, open_bundle, write_members
from edgenn.bundle.trust import SIGNATURES
from edgenn.errors import DeployError, UsageError
from edgenn.runtime.files import resolve


@dataclass(frozen=True, slots=True)
class Cargo:
    """Files that are ready to be copied, with SHA-256 of their content.

    Attributes:
        wheel: edgenn itself.
        wheel_hash: Of it.
        bundle: A zip.
        bundle_hash: Of it.
        manifest: The bundle's.
        wheelhouse: Folder of wheels for a device without a package index; None with one.
        wheelhouse_hash: Of the names and sizes in it; empty without.
    """

    wheel: Path
    wheel_hash: str
    bundle: Path
    bundle_hash: str
    manifest: Manifest
    wheelhouse: Path | None
    wheelhouse_hash: str

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        files = [self.wheel, self.bundle]
        if self.wheelhouse is not None:
            files += [path for path in self.wheelhouse.iterdir() if path.is_file()]
        return sum(path.stat().st_size for path in files)


def pack(model: str, wheel: Path | None, wheelhouse: Path | None, folder: Path) -> Cargo:
    """Check and gather what is to be brought.

    Args:
        model: Path of a bundle, or name of a built-in model.
        wheel: A wheel of edgenn; None builds it from the source tree that runs, or downloads
            that of the running version.
        wheelhouse: Folder of wheels with all that edgenn needs.
        folder: For what is made here.

    Raises:
        BundleError: The bundle is damaged or has no golden samples.
        DeployError: There is no wheel.
        UsageError: The model is no bundle.
    """
    found = resolve(model)
    if found.suffix in (".onnx", ".tflite"):
        raise UsageError(f"{found} is a bare model file without golden samples; deploy its bundle")
    bundle = open_bundle(found)
    bundle.check()
    if bundle.manifest.golden is None:
        raise UsageError(f"{found} has no golden samples to verify on the device; export it again")
    path = folder / "model.edgenn"
    # Packed anew it is the same for a folder and a zip, and on the device never half of it.
    write_members(_files(bundle), path)
    if wheelhouse is not None and not any(wheelhouse.glob("*.whl")):
        raise UsageError(f"there are no wheels in {wheelhouse}; fill it by 'pip download -d'")
    ready = _checked(wheel) if wheel is not None else _made(folder)
    return Cargo(
        wheel=ready,
        wheel_hash=_sha256(ready),
        bundle=path,
        bundle_hash=_sha256(path),
        manifest=bundle.manifest,
        wheelhouse=wheelhouse,
        wheelhouse_hash=_listing(wheelhouse) if wheelhouse is not None else "",
    )


def _files(bundle: Bundle) -> dict[str, bytes]:
    """All that the manifest names and the signatures, so that these hold on the device too."""
    files = {MANIFEST: bundle.document}
    files |= {name: bundle.read(name) for name in hashes(bundle.manifest)}
    if SIGNATURES in bundle.names():
        files[SIGNATURES] = bundle.read(SIGNATURES)
    return files


def _checked(wheel: Path) -> Path:
    if not wheel.is_file():
        raise DeployError(f"there is no wheel at {wheel}")
    named = wheel.suffix == ".whl" and wheel.name.startswith("edgenn-")
    if not named or not zipfile.is_zipfile(wheel):
        raise DeployError(f"{wheel} is no wheel of edgenn; make one by 'pip wheel --no-deps .'")
    return wheel


def _made(folder: Path) -> Path:
    """A wheel of what runs here: from its source tree, or the released one."""
    if importlib.util.find_spec("pip") is None:
        raise DeployError("pip is missing here and makes the wheel; install it, or give --wheel")
    tree = Path(edgenn.__file__).resolve().parents[1]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    if (tree / "pyproject.toml").is_file():
        command = [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
        if importlib.util.find_spec("hatchling") is not None:
            command.append("--no-build-isolation")  # then it needs no network
        what = str(tree)
    else:
        command = [*pip, "download", "--quiet", "--no-deps", "--dest", str(folder)]
        what = f"edgenn=={edgenn.__version__}"
    command.append(what)
    answer = subprocess.run(  # noqa: S603  no shell
        command, capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("edgenn-*.whl"))
    if answer.returncode or not wheels:
        said = [line for line in answer.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = said[0].removeprefix("ERROR: ") if said else "pip made none"
        raise DeployError(f"there is no wheel of {what}: {reason}; give one by --wheel")
    return wheels[0]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _listing(folder: Path) -> str:
    files = sorted((path.name, path.stat().st_size) for path in folder.glob("*.whl"))
    return hashlib.sha256(repr(files).encode()).hexdigest()

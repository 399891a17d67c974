"""What a device install weighs: bytes in site-packages, import time and memory.

    python tools/bench/install.py
    python tools/bench/install.py -c constraints.txt

Arguments go to ``pip install .``. pip itself is not counted.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

# What the interpreter needs anyway is not edgenn's weight.
IMPORT = """
import resource, time
import encodings, json, pathlib
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
import edgenn
from edgenn import plugins
from edgenn.runtime import engines
from edgenn.runtime.files import installed
name = installed()[0]
plugins.load(engines, name)
seconds = time.perf_counter() - start
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(f"import with the {name} engine: {seconds * 1e3:.0f} ms, {grown / 1e3:.0f} MB of memory")
"""


def size(path: Path) -> int:
    """Bytes of a file or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(f.lstat().st_size for f in files if not f.is_dir())


def main() -> None:
    """Install into a fresh environment and print."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "bin", "python")
        (packages,) = Path(folder).glob("lib/python*/site-packages")
        before = {p.name for p in packages.iterdir()}
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, ".", *sys.argv[1:]], check=True)
        weights = {p.name: size(p) for p in packages.iterdir() if p.name not in before}
        total = sum(weights.values())
        print(f"site-packages: {total / 1e6:.1f} MB ({total / 2**20:.1f} MiB)")
        for name in sorted(weights, key=weights.__getitem__, reverse=True)[:8]:
            print(f"  {weights[name] / 1e6:6.1f}  {name}")
        # The first import compiles; the second is what a device sees.
        for _ in range(2):
            done = subprocess.run([python, "-c", IMPORT], check=True, capture_output=True, cwd="/")
        print(done.stdout.decode().strip())


if __name__ == "__main__":
    main()

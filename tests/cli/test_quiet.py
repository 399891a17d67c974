from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import logging, os
from edgenn.cli._quiet import hushed_stderr
logging.basicConfig(level=logging.INFO, format="%(message)s")
with hushed_stderr():
    os.write(2, b"from C++\\n")
    logging.getLogger("edgenn.x").info("a build takes minutes")
logging.getLogger("edgenn.x").info("after")
os.write(2, b"again\\n")
"""


def test_libraries_are_silent_and_edgenn_is_not():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.splitlines() == ["a build takes minutes", "after", "again"]

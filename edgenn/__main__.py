"""``python -m edgenn``, the same as the ``edgenn`` command."""

from __future__ import annotations

from edgenn.cli import main

main()

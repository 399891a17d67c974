from __future__ import annotations

import inspect
import re

from edgenn import errors


def _classes() -> dict[str, type[errors.EdgennError]]:
    return {
        name: kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.EdgennError)
    }


def _drawn_tree() -> dict[str, tuple[str | None, int]]:
    """Name to (parent, exit code) as the docstring draws it."""
    tree: dict[str, tuple[str | None, int]] = {}
    branch: list[str] = []
    for line in errors.__doc__.splitlines():
        drawn = re.match(r"^    ([│├└─ ]*)(\w+Error)\s+(?:exit code )?(\d+)\b", line)
        if drawn:
            depth = len(drawn[1]) // 4
            branch[depth:] = [drawn[2]]
            tree[drawn[2]] = (branch[depth - 1] if depth else None, int(drawn[3]))
    return tree


def test_the_drawn_tree_is_the_real_one():
    real = {
        name: (None if kind is errors.EdgennError else kind.__base__.__name__, kind.exit_code)
        for name, kind in _classes().items()
    }
    assert _drawn_tree() == real


def test_kinds_of_error_have_exit_codes_of_their_own():
    branches = [k for k in _classes().values() if k.__base__ is errors.EdgennError]
    codes = [kind.exit_code for kind in branches]
    assert len(set(codes)) == len(codes)
    assert errors.EdgennError.exit_code not in codes

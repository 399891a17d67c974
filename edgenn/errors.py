"""Every error that edgenn raises on purpose.

The tree::

    EdgennError                    exit code 1
    ├── UsageError                 2   a flag, name or argument that makes no sense
    │   └── UnknownNameError       2   no plug-in, built-in model or label of that name
    ├── MissingExtraError          3   an optional package is not installed
    ├── RecipeError                4   a recipe with wrong keys or values
    ├── DataError                  5   training data missing, unreadable or too bad
    ├── ModelError                 6   a model file or its tensors are not usable
    │   └── BundleError            6   a bundle that is damaged, unsafe or too new
    ├── SourceError                7   a camera, file or stream that cannot be opened or read
    │   └── UnfitSourceError       7   one that delivers something else than is wanted
    ├── SinkError                  8   an output that cannot be written
    ├── ParityError                9   a model file does not compute what it should
    ├── AccuracyError              10  an exported variant lost more than ``--max-drop``
    ├── ReplayError                11  a recording led to other decisions than were expected
    ├── DeviceError                12  ``edgenn doctor`` found what keeps this device from working
    ├── TrustError                 13  a bundle that is unsigned, tampered with, revoked or too old
    └── DeployError                14  a device that could not be deployed to

A message is one clear sentence: what was wrong, where, and what to do. The
command line prints it without a traceback and exits with the class's code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class EdgennError(Exception):
    """Base of every error that a user can cause or mend."""

    exit_code = 1


class UsageError(EdgennError):
    """A flag, name or argument that makes no sense."""

    exit_code = 2


class UnknownNameError(UsageError):
    """No plug-in, built-in model or label has that name."""


class MissingExtraError(EdgennError):
    """An optional package is not installed; the message holds the pip line."""

    exit_code = 3


class RecipeError(EdgennError):
    """A recipe with unknown keys or wrong values, all of them listed."""

    exit_code = 4


class DataError(EdgennError):
    """Training data that is missing, unreadable or too bad to train on."""

    exit_code = 5


class ModelError(EdgennError):
    """A model file, or a tensor given to it, that is not usable."""

    exit_code = 6


class BundleError(ModelError):
    """A bundle that is damaged, unsafe to read or of an unknown version."""


class SourceError(EdgennError):
    """A camera, file or stream that cannot be opened or failed while read."""

    exit_code = 7


class UnfitSourceError(SourceError):
    """A source that works and delivers something else than is wanted; to try again is no use."""


class SinkError(EdgennError):
    """An output that cannot be written."""

    exit_code = 8


class ParityError(EdgennError):
    """A model file that does not compute what its golden samples say."""

    exit_code = 9


class AccuracyError(EdgennError):
    """An exported variant lost more accuracy than was allowed."""

    exit_code = 10


class ReplayError(EdgennError):
    """A replayed recording led to other decisions than were expected."""

    exit_code = 11


class DeviceError(EdgennError):
    """The device has problems that must be mended first; ``edgenn doctor`` lists them."""

    exit_code = 12


class TrustError(EdgennError):
    """A bundle that is not signed by a key that is trusted, was changed, revoked or is too old."""

    exit_code = 13


class DeployError(EdgennError):
    """A device that could not be deployed to; what ran there before runs on."""

    exit_code = 14


def faults(error: ValidationError, most: int | None = None) -> str:
    """What is wrong and where, of all that a check against a schema found or of the first few."""
    found = error.errors()[:most]
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in found)

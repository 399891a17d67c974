"""Sensor readings as MATLAB files: one recording per .mat file, as UTD-MHAD has them.

A file holds one array of numbers, whatever its name: (T, C) readings, or
(J, A, T) with time last, such as 20 joints with x, y and z, which become J * A
channels (x, y and z of the first joint first). Single numbers and texts beside
it are passed over.

The class is what ``data.label_pattern`` finds in the path, or else the name of
the folder; classes are sorted naturally, 2 before 10. ``data.rate`` must tell
the readings per second. ``data.channels`` names all columns; without it they
are c0, c1, .... A recording with a value that is no number is left out whole.

Files of MATLAB 7.3, which are HDF5, are not read; ``save -v7`` writes the older form.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenn.data import Progress, Raw, quiet
from edgenn.data.images import files
from edgenn.data.mat5 import read_arrays
from edgenn.data.readers._recordings import Stretch, finish
from edgenn.data.readers._site import Site, has_sides, natural, side
from edgenn.errors import DataError
from edgenn.recipe.schema import Data


def read(spec: Data, root: Path, progress: Progress = quiet) -> Raw:
    """Read MATLAB files.

    Raises:
        DataError: No file, no readable file, or no rate.
    """
    site = Site(spec, root, progress)
    paths = [root] if root.is_file() else files(root, ".mat")
    if not paths:
        raise DataError(f"{root} holds no .mat file")
    level = int(root.is_dir() and has_sides(root))
    tick = progress("read recordings", len(paths))
    stretches: list[Stretch] = []
    for path in paths:
        try:
            stretches.append(_stretch(site, path, level, stretches))
        except DataError as error:
            site.report(path, str(error))
        tick()
    if not stretches:
        first = site.problems[0]
        raise DataError(f"{root}: no file can be used; {first.file}: {first.reason}")
    count = stretches[0].values.shape[1]
    names = spec.channels if len(spec.channels) == count else [f"c{i}" for i in range(count)]
    return finish(site, stretches, natural(str(s.labels[0]) for s in stretches), names)


def _stretch(site: Site, path: Path, level: int, others: list[Stretch]) -> Stretch:
    folders = path.relative_to(site.base).parts[:-1]
    label = site.label(path) or (folders[-1] if len(folders) > level else "")
    if not label:
        raise DataError("no data.label_pattern and no folder that tells the class")
    values = _values(path)
    if others and values.shape[1] != others[0].values.shape[1]:
        count = others[0].values.shape[1]
        raise DataError(f"it has {values.shape[1]} channels, {others[0].name} has {count}")
    labels = np.full(len(values), label)
    where = side(folders[:level])
    return Stretch(site.name(path), values, labels, None, site.group(path), where, whole=True)


def _values(path: Path) -> NDArray[np.float64]:
    """(T, C) readings of a file."""
    # Single numbers, such as a rate, lie in 1 x 1 arrays.
    arrays = {name: x for name, x in read_arrays(path).items() if x.ndim in (2, 3) and x.size > 1}
    if len(arrays) != 1:
        said = ", ".join(sorted(arrays)) or "none"
        raise DataError(f"it must hold one array of (T, C) or (J, A, T) numbers, not {said}")
    (values,) = arrays.values()
    return values if values.ndim == 2 else values.reshape(-1, values.shape[-1]).T.copy()

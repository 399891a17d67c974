"""Readers of the layouts that users already have, one file per layout.

A reader's file name is what a recipe calls ``data.format``. It has one
function::

    read(spec: Data, root: Path, progress: Progress = quiet) -> Raw

``spec`` is the recipe's ``data`` section; ``root`` is the file or folder, which
may differ from ``spec.path``. A reader decides nothing about splits, sizes or
augmentation: it passes on what the data itself says of a split. A test set
stands in for a validation set where there is none, and is left out otherwise.

What a reader finds wrong with one sample becomes a `Problem`. It raises
`DataError` only when the data as a whole cannot be read. Three rules hold for
all of them:

- A picture is used with all its boxes or not at all: a box that is missing
  would teach a detector that the object is background.
- ``spec.labels`` chooses and orders the classes. Objects and readings of other
  classes are passed over without a problem.
- Paths are matched, grouped and reported relative to ``root``, with ``/``.
"""

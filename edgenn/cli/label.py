"""``edgenn label``: a larger model labels pictures for a smaller one to learn from."""

from __future__ import annotations

from pathlib import Path

import click

from edgenn import plugins
from edgenn.cli._options import split_names
from edgenn.errors import UsageError


@click.command(short_help="Label pictures or a video with a larger detector.")
@click.option(
    "--teacher",
    required=True,
    help="Detector: a bundle, a built-in model, or an ONNX or TFLite file from elsewhere.",
)
@click.option("--source", required=True, help="Video, or folder of pictures.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make.")
@click.option(
    "--conf", type=click.FloatRange(0, 1), default=0.4, show_default=True, help="Least score."
)
@click.option("--classes", default="", help="Labels to keep, separated by commas.  [all]")
@click.option(
    "--labels",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Names of the teacher's classes, one a line.  [COCO's]",
)
@click.option(
    "--change",
    type=click.FloatRange(0, 1),
    default=0.03,
    show_default=True,
    help="Pass frames over that differ less than this from the last one taken.",
)
@click.option("--fast", is_flag=True, help="Look at whole frames only, not at parts of them too.")
@click.option("--max-frames", type=click.IntRange(0), default=0, help="Stop after so many.")
def command(
    teacher: str,
    source: str,
    out: Path,
    conf: float,
    classes: str,
    labels: Path | None,
    change: float,
    fast: bool,
    max_frames: int,
) -> None:
    """Write a YOLO data set of frames that differ, labelled by a larger detector.

    scores.csv beside data.yaml gives the teacher's score of every box. Each frame
    is looked at whole and in four overlapping parts, each also mirrored.
    """
    try:
        from edgenn.cli._progress import show_progress
        from edgenn.cli._quiet import hushed_stderr
        from edgenn.data.label import Wishes, label
        from edgenn.runtime.foreign import load_any
        from edgenn.runtime.sources import open_source
    except ModuleNotFoundError as error:
        raise plugins.missing_extra(error, "edgenn label") from error

    with hushed_stderr():
        model = load_any(teacher, _lines(labels) if labels else (), conf=conf)
    wishes = Wishes(conf, split_names(classes), change, not fast, max_frames)
    with open_source(source, kind="image") as frames:
        pictures, boxes = label(frames, model, out, wishes, show_progress("label", 0))  # type: ignore[arg-type]  # of kind image
    click.echo(f"wrote {out}: {pictures} pictures, {boxes} boxes")


def _lines(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"--labels: {path} is no UTF-8 text with a name a line") from error
    return tuple(line.strip() for line in lines if line.strip())

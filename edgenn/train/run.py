"""A finished training run, as export and other commands need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from edgenn.bundle.manifest import ImageInput, WindowInput
from edgenn.errors import ModelError
from edgenn.recipe.schema import Recipe
from edgenn.train import build, checkpoint


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A trained network and all that is known of it.

    Attributes:
        path: Folder of the run.
        recipe: Resolved.
        labels: Class names in the order of the outputs.
        input: What the net takes.
        net: The network in eval mode, on the CPU, with the best averaged weights.
        outputs: Names of its outputs, in order.
        decode_params: Parameters of the decoder that the net's shape fixes.
        metric: Name of the main metric.
        metrics: Its value as "main", per class as "class/NAME", and others by name.
        data: Where the data was, if not where the recipe says.
        data_sha256: Hash of the data set.
    """

    path: Path
    recipe: Recipe
    labels: tuple[str, ...]
    input: ImageInput | WindowInput
    net: nn.Module
    outputs: tuple[str, ...]
    decode_params: Mapping[str, Any]
    metric: str
    metrics: Mapping[str, float]
    data: Path | None
    data_sha256: str


def load_run(path: Path) -> Run:
    """Load a run.

    Args:
        path: The folder that ``edgenn train`` wrote, or one of its checkpoints.

    Raises:
        ModelError: There is no usable checkpoint.
    """
    file = path / checkpoint.BEST if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        raise ModelError(
            f"{path} has no {checkpoint.BEST}; it is not a run of edgenn train, or none of its "
            "epochs was finished (continue it with --resume)"
        )
    header, tensors = checkpoint.read(file)
    net = build.build_net(header.recipe.net, build.net_spec(header.input, header.labels))
    checkpoint.fill(net, checkpoint.under(checkpoint.MODEL, tensors), file)
    family = build.family(header.recipe.net)
    return Run(
        path=file.parent,
        recipe=header.recipe,
        labels=header.labels,
        input=header.input,
        net=net.eval().requires_grad_(False),
        outputs=family.OUTPUTS,
        decode_params=build.decode(header.recipe).params,
        metric=header.metric,
        metrics=header.metrics,
        data=Path(header.data) if header.data else None,
        data_sha256=header.data_sha256,
    )

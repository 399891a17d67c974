"""Checkpoints: one safetensors file each, tensors beside a JSON header. No pickle.

Every checkpoint holds the weights to use under ``model.``. ``last.safetensors``
holds besides what a resumed training needs: ``train.`` (the weights before
averaging), ``optim.`` and ``rng.``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors import torch as tensor_files
from torch import Tensor, nn

from edgenn.bundle.manifest import ImageInput, WindowInput
from edgenn.bundle.store import atomically, refuse_impostor
from edgenn.errors import ModelError
from edgenn.recipe.schema import Recipe

BEST, LAST = "best.safetensors", "last.safetensors"
MODEL, TRAIN, OPTIM, RNG = "model.", "train.", "optim.", "rng."
_KEY = "edgenn"


class Progress(BaseModel):
    """How far a training is.

    Attributes:
        epoch: Epoch that comes next or is under way, from 0.
        batch: Batches of that epoch that are done.
        sums: Sums over those batches: loss and its parts.
        best: Best value of the main metric so far.
        best_epoch: Epoch, from 1, that gave it; 0 before the first validation.
        history: One row per finished epoch.
        seconds: Time spent.
        scale: State of the AMP loss scaler; empty where there is none.
        finished: Nothing is left to do.
        pretrained: Parameters that began with loaded weights.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    epoch: int = 0
    batch: int = 0
    sums: dict[str, float] = {}
    best: float = -1.0
    best_epoch: int = 0
    history: list[dict[str, float]] = []
    seconds: float = 0.0
    scale: dict[str, float] = {}
    finished: bool = False
    pretrained: list[str] = []


class Header(BaseModel):
    """What a checkpoint says of itself.

    Attributes:
        recipe: Resolved.
        input: What the net takes.
        labels: Class names in the order of the outputs.
        data: Where the data was, if not where the recipe says.
        data_sha256: Hash of the data set.
        metric: Name of the main metric.
        metrics: Its value as "main", per class as "class/NAME", and others by name.
        progress: State of the training.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    format: Literal[1] = 1
    edgenn: str
    recipe: Recipe
    input: Annotated[ImageInput | WindowInput, Field(discriminator="kind")]
    labels: tuple[str, ...]
    data: str | None = None
    data_sha256: str = ""
    metric: str = ""
    metrics: dict[str, float] = {}
    progress: Progress = Progress()


def save(path: Path, header: Header, tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        BundleError: The file cannot be written.
    """
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    metadata = {_KEY: header.model_dump_json()}
    content = tensor_files.save(plain, metadata)

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    atomically(path, write)


def read(path: Path) -> tuple[Header, dict[str, Tensor]]:
    """Read a checkpoint.

    Raises:
        ModelError: Missing, damaged, or not written by ``edgenn train``.
    """
    if not path.is_file():
        raise ModelError(f"there is no checkpoint at {path}")
    with path.open("rb") as file:
        refuse_impostor(file.read(512), str(path))
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a readable safetensors file: {error}") from error
    if _KEY not in metadata:
        raise ModelError(f"{path} was not written by edgenn train")
    try:
        return Header.model_validate_json(metadata[_KEY]), tensors
    except ValidationError as error:
        fault = error.errors()[0]
        raise ModelError(
            f"{path} has a header that this edgenn does not know "
            f"({'.'.join(map(str, fault['loc']))}: {fault['msg']}); "
            "was it written by another version?"
        ) from error


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under ``prefix``."""
    return {prefix + name: t for name, t in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those tensors whose name starts with ``prefix``, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def fill(net: nn.Module, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Load all of a network's weights.

    Raises:
        ModelError: Names or shapes are not those of the network.
    """
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(
            f"{where} does not fit the network that its recipe describes; "
            "was it written by another version?"
        ) from error

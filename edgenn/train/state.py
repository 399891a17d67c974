"""The whole state of a training, to a checkpoint and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edgenn.errors import UsageError
from edgenn.train import checkpoint
from edgenn.train.checkpoint import LAST, MODEL, OPTIM, RNG, TRAIN, Header, prefixed, under

if TYPE_CHECKING:
    from edgenn.train.setup import Session


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """A checkpoint that was read.

    Attributes:
        path: The file.
        header: What it says.
        tensors: What it holds.
    """

    path: Path
    header: Header
    tensors: dict[str, Tensor]


def load(folder: Path) -> Saved:
    """Read the checkpoint to resume from.

    Raises:
        ModelError: Missing or damaged.
        UsageError: That training is finished.
    """
    path = folder / LAST
    header, tensors = checkpoint.read(path)
    if header.progress.finished:
        raise UsageError(
            f"{folder} is finished after {header.progress.epoch} epochs; to train on, start a new "
            f"run with --weights {folder / checkpoint.BEST}"
        )
    return Saved(path, header, tensors)


def check_same(old: Header, new: Header, folder: Path) -> None:
    """Refuse to resume with another recipe or other data.

    Raises:
        UsageError: Names what differs.
    """
    before, now = dict(_flat(old.recipe.model_dump())), dict(_flat(new.recipe.model_dump()))
    changed = [
        f"{key}={before.get(key)!r}, not {now.get(key)!r}"
        for key in sorted({**before, **now})
        if before.get(key) != now.get(key)
    ]
    if changed:
        raise UsageError(
            f"{folder} was started with {', '.join(changed)}; resume with the settings that it was "
            "started with, or start a new run"
        )
    if (old.data_sha256, old.labels) != (new.data_sha256, new.labels):
        raise UsageError(f"the data changed since {folder} was started; start a new run")


def save(session: Session) -> None:
    """Write ``last.safetensors``; to be called between two steps.

    Raises:
        BundleError: The file cannot be written.
    """
    scaler = session.accelerator.scaler
    session.progress.scale = scaler.state_dict() if scaler is not None else {}
    tensors = {
        **prefixed(MODEL, session.average.net.state_dict()),
        **prefixed(TRAIN, session.plain.state_dict()),
        **prefixed(OPTIM, _optimizer_tensors(session.optimizer)),
        **prefixed(RNG, _generators()),
    }
    header = session.header.model_copy(update={"progress": session.progress})
    checkpoint.save(session.folder / LAST, header, tensors)


def restore(session: Session, saved: Saved) -> None:
    """Put everything back as `save` found it.

    Raises:
        ModelError: The checkpoint does not fit the network.
    """
    checkpoint.fill(session.plain, under(TRAIN, saved.tensors), saved.path)
    checkpoint.fill(session.average.net, under(MODEL, saved.tensors), saved.path)
    _fill_optimizer(session.optimizer, under(OPTIM, saved.tensors))
    generators = under(RNG, saved.tensors)
    torch.set_rng_state(generators["cpu"])
    if "cuda" in generators and torch.cuda.is_available():
        torch.cuda.set_rng_state(generators["cuda"])
    if session.progress.scale and session.accelerator.scaler is not None:
        session.accelerator.scaler.load_state_dict(session.progress.scale)


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{i}.{name}": value
        for i, parameter in enumerate(_parameters(optimizer))
        for name, value in optimizer.state.get(parameter, {}).items()
    }


def _fill_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    parameters = _parameters(optimizer)
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        parameter = parameters[int(index)]
        # The strides of a state that was never saved, so that no sum runs in another order.
        like = torch.empty_like(parameter) if value.shape == parameter.shape else value.clone()
        optimizer.state[parameter][name] = like.copy_(value)


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _generators() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value

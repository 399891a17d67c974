"""Everything that a training needs, made from what the user asked for."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list
from torch import nn

import edgenn
from edgenn.data import Dataset
from edgenn.data.feed import Feed, input_spec
from edgenn.data.load import load_dataset
from edgenn.errors import DataError, RecipeError, UsageError
from edgenn.recipe.load import expand
from edgenn.recipe.schema import Recipe
from edgenn.train import build, folder, losses, qat, state
from edgenn.train.checkpoint import Header, Progress
from edgenn.train.ctc import Ctc
from edgenn.train.distill import Teacher
from edgenn.train.evaluate import METRIC, ORDER
from edgenn.train.loader import Batches
from edgenn.train.optim import Average, make_optimizer
from edgenn.train.predict import Judge
from edgenn.train.summary import Summary, summarize
from edgenn.train.weights import freeze, load_weights

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """What to train, and where.

    Attributes:
        recipe: Resolved.
        runs: Folder of all runs.
        name: Of the run; None takes the recipe's name and adds a number where it is taken.
        data: Where the data is, if not where the recipe says.
        device: "cpu", "cuda", or None for the best there is.
        resume: Continue the run of that name.
    """

    recipe: Recipe
    runs: Path
    name: str | None = None
    data: Path | None = None
    device: str | None = None
    resume: bool = False


@dataclass(slots=True)
class Session:
    """One training under way.

    Attributes:
        accelerator: Device, precision and processes.
        folder: Of the run.
        recipe: Resolved.
        train_feed: Samples to train on.
        val_feed: Samples to measure on.
        net: To call in training, wrapped for several processes.
        plain: The same network without the wrapping.
        average: Its averaged weights.
        optimizer: Holds the state.
        stepper: The optimiser as the accelerator wraps it.
        loss: What to minimise.
        teacher: Whom to learn from beside the labels, if anybody.
        held: Names of tensors that stay as they are, statistics of normalisations.
        batches: Order of the samples.
        judge: Measures a network.
        summary: Size of the network.
        header: What checkpoints say of the run.
        progress: How far it is.
    """

    accelerator: Any
    folder: Path
    recipe: Recipe
    train_feed: Feed
    val_feed: Feed
    net: nn.Module
    plain: nn.Module
    average: Average
    optimizer: torch.optim.Optimizer
    stepper: Any
    loss: nn.Module
    teacher: Teacher | None
    held: frozenset[str]
    batches: Batches
    judge: Judge
    summary: Summary
    header: Header
    progress: Progress

    @property
    def main(self) -> bool:
        """Whether this process writes and reports."""
        return bool(self.accelerator.is_main_process)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        device: torch.device = self.accelerator.device
        return device


def prepare(job: Job) -> Session:
    """Load the data, build the network, and restore it if the job resumes.

    Raises:
        RecipeError: The recipe asks for what does not exist.
        DataError: The data cannot be used.
        ModelError: Weights or checkpoint cannot be used.
        UsageError: The device is not there, or the run cannot be resumed.
    """
    recipe = job.recipe
    build.check(recipe)
    decode = build.decode(recipe)
    accelerator = make_accelerator(job.device, amp=recipe.train.amp)
    main = accelerator.is_main_process
    where = _folder(job) if main else Path()
    where = broadcast_object_list([where])[0]
    saved = state.load(where) if job.resume else None

    dataset = load_dataset(recipe, job.data)
    spec = input_spec(recipe, dataset)
    feeds = [
        Feed(s, recipe, spec, train=t, labels=dataset.labels)
        for s, t in ((dataset.train, True), (dataset.val, False))
    ]
    if not len(feeds[1]):
        raise DataError("there are no validation samples; set data.split.val, or add data")
    torch.manual_seed(recipe.seed)
    net_spec = build.net_spec(spec, dataset.labels)
    net = build.build_net(recipe.net, net_spec)
    summary = summarize(net, spec)
    if main:
        _log.info("%s %s: %s", recipe.net.family, recipe.net.size, summary)
    header = Header(
        edgenn=edgenn.__version__,
        recipe=recipe,
        input=spec,
        labels=dataset.labels,
        data=str(job.data.resolve()) if job.data else None,
        data_sha256=dataset.sha256,
        metric=ORDER if recipe.train.ctc else METRIC[recipe.task],
    )
    progress = Progress()
    if saved is not None:
        state.check_same(saved.header, header, where)
        header, progress = saved.header, saved.header.progress
    elif recipe.net.weights:
        progress.pretrained = _load_weights(net, recipe, quiet=not main)
    held = freeze(net, recipe.train.freeze)
    if spec.kind == "image":
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its stub
    optimizer = make_optimizer(net, recipe.train, frozenset(progress.pretrained))
    # Copied before the accelerator wraps it: measured in float32, like what is exported.
    average = Average(net, recipe.train.ema)
    average.net.to(accelerator.device)
    # The averaged one too, so that the epoch is chosen that will do best in int8.
    for each in (net, average.net) if recipe.train.qat else ():
        qat.enable(each)
    wrapped, stepper = accelerator.prepare(net, optimizer)
    # Processes must not all drop the same features.
    torch.manual_seed(recipe.seed + accelerator.process_index)
    loss = _loss(recipe, dataset).to(accelerator.device)
    session = Session(
        accelerator=accelerator,
        folder=where,
        recipe=recipe,
        train_feed=feeds[0],
        val_feed=feeds[1],
        net=wrapped,
        plain=net,
        average=average,
        optimizer=optimizer,
        stepper=stepper,
        loss=loss,
        teacher=_teacher(recipe, header, loss, accelerator.device),
        held=held | frozenset(progress.pretrained if recipe.train.freeze_norm else ()),
        batches=Batches(
            len(feeds[0]),
            recipe.train.batch,
            recipe.seed,
            accelerator.process_index,
            accelerator.num_processes,
        ),
        judge=Judge(recipe, feeds[1], spec, decode, dataset.labels),
        summary=summary,
        header=header,
        progress=progress,
    )
    if saved is not None:
        state.restore(session, saved)
    return session


def _load_weights(net: nn.Module, recipe: Recipe, *, quiet: bool) -> list[str]:
    """Names of the tensors that the net's weights file gave."""
    loaded = load_weights(net, expand(recipe.net.weights, "net.weights"))
    if not quiet:
        _log.info("net.weights: %s", loaded)
    return sorted(loaded.names)


def make_accelerator(device: str | None, *, amp: bool) -> Accelerator:
    """Device and precision.

    Raises:
        UsageError: CUDA is asked for and not there.
    """
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise UsageError(
            "--device cuda: torch finds no CUDA device here; check nvidia-smi and that torch was "
            "installed with CUDA, or use --device cpu"
        )
    return Accelerator(
        cpu=device == "cpu",
        mixed_precision=_precision(cuda=cuda and device != "cpu") if amp else "no",
        # The main process validates while the others wait.
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=3))],
    )


def _precision(*, cuda: bool) -> str:
    """Half the bits where the device multiplies them faster."""
    if cuda:
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    # On a processor without these instructions bfloat16 is several times slower.
    has = torch.cpu.get_capabilities()
    return "bf16" if has.get("avx512_bf16") or has.get("amx_bf16") or has.get("bf16") else "no"


def _folder(job: Job) -> Path:
    choose = folder.last_folder if job.resume else folder.new_folder
    return choose(job.runs, job.name or job.recipe.name, wanted=job.name is not None)


def _loss(recipe: Recipe, dataset: Dataset) -> nn.Module:
    settings = recipe.train
    if recipe.task == "detect":
        params = build.decode(recipe).params
        return losses.Detection(params["strides"], params.get("form", "edges"))
    if settings.ctc:
        return Ctc(dataset.labels.index(recipe.data.background))
    weights = None
    if settings.class_balance:
        weights = losses.class_weights(_counts(dataset), settings.class_balance)
    return losses.CrossEntropy(settings.label_smoothing, weights)


def _teacher(
    recipe: Recipe, header: Header, loss: nn.Module, device: torch.device
) -> Teacher | None:
    settings = recipe.train.distill
    if settings is None:
        return None
    if not isinstance(loss, losses.Detection):
        raise RecipeError(f"train.distill is for detectors only, not for task {recipe.task}")
    return Teacher(settings, header, loss, device)


def _counts(dataset: Dataset) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Training samples, or readings, of each class."""
    ids = np.concatenate([sample.class_ids for sample in dataset.train])
    return np.bincount(ids[ids >= 0], minlength=len(dataset.labels)).astype(np.int64)

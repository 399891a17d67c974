"""Training: from a recipe to a run folder."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from accelerate.utils import broadcast_object_list
from torch import Tensor
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from edgenn.bundle.store import write_text
from edgenn.errors import EdgennError
from edgenn.recipe.load import dump_recipe
from edgenn.train import checkpoint, report, state
from edgenn.train.checkpoint import BEST, LAST, MODEL
from edgenn.train.loader import fork_safe_opencv, train_loader
from edgenn.train.losses import Loss
from edgenn.train.mixup import mix
from edgenn.train.multiscale import rescale
from edgenn.train.optim import rate, set_rate
from edgenn.train.predict import step_of, to_device
from edgenn.train.setup import Job, Session, prepare
from edgenn.train.stop import StopRequest
from edgenn.train.weights import freeze_norms

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended.

    Attributes:
        folder: Of the run.
        metric: Name of the main metric.
        best: Its best value; -1 before the first validation.
        best_epoch: Epoch, from 1, that gave it.
        epoch: Epochs done.
        finished: False if it was interrupted and can be resumed.
        main: Whether this process is the one that reports.
    """

    folder: Path
    metric: str
    best: float
    best_epoch: int
    epoch: int
    finished: bool
    main: bool


def train(job: Job) -> Outcome:
    """Train a network and write the run folder.

    Interrupted by SIGINT or SIGTERM it finishes the step under way and writes a
    checkpoint; resumed from there, on the CPU of the same machine with the same
    versions and threads, it ends in the same weights to the bit.

    Raises:
        EdgennError: The loss stopped being a number; and all that
            `edgenn.train.setup.prepare` raises.
    """
    session = prepare(job)
    try:
        with StopRequest() as stop, fork_safe_opencv():
            finished = _Trainer(session, stop).run(resumed=job.resume)
    finally:
        session.accelerator.end_training()
    progress = session.progress
    return Outcome(
        session.folder,
        session.header.metric,
        progress.best,
        progress.best_epoch,
        progress.epoch,
        finished,
        session.main,
    )


class _Trainer:
    """Steps, epochs, and what is written between them."""

    def __init__(self, session: Session, stop: StopRequest) -> None:
        self.session, self._stop = session, stop
        self._settings = session.recipe.train
        self._progress = session.progress
        self._steps = len(session.batches)
        self._total = self._steps * self._settings.epochs
        self._since = monotonic()

    def run(self, *, resumed: bool) -> bool:
        """Train to the end, or until asked to stop; whether it came to the end."""
        session = self.session
        if session.main and not resumed:
            write_text(session.folder / "recipe.yaml", dump_recipe(session.recipe))
        pin = session.device.type == "cuda"
        loader = train_loader(
            session.train_feed,
            session.batches,
            self._settings.workers,
            step=step_of(session.plain),
            pin=pin,
        )
        with self._bar() as bar:
            while not self._done():
                if not self._epoch(loader, bar):
                    return False
                self._close_epoch(bar)
                if self._asked() and not self._done():
                    return False
        self._progress.finished = True
        self._save()
        if session.main:
            report.finish(session)
        return True

    def _epoch(self, loader: Any, bar: tqdm[Any]) -> bool:  # noqa: ANN401 - batches differ per task
        """Train the rest of the epoch; False if asked to stop before its end."""
        progress, batches = self._progress, self.session.batches
        batches.epoch, batches.skip = progress.epoch, progress.batch
        self.session.net.train()
        freeze_norms(self.session.plain, self.session.held)
        for x, target in loader:
            for name, value in self._step(x, target).items():
                progress.sums[name] = progress.sums.get(name, 0.0) + value
            progress.batch += 1
            bar.set_postfix(self._shown(), refresh=False)
            bar.update()
            if progress.batch < self._steps and self._asked():
                self._save()
                return False
        return True

    def _step(self, x: Tensor, target: Any) -> dict[str, float]:  # noqa: ANN401 - differs per task
        """One step of the optimiser; its losses."""
        session = self.session
        step = self._progress.epoch * self._steps + self._progress.batch
        set_rate(session.optimizer, rate(self._settings, step, self._total))
        x, target = self._scaled(to_device(x, session.device), target, step)
        judge, augment = session.loss, session.recipe.augment
        if session.recipe.task == "sequence" and augment.mixup:
            rng = np.random.default_rng([session.recipe.seed, step])
            x, judge = mix(x, judge, augment.mixup, rng)
        outputs = session.net(x)
        loss: Loss = judge(outputs, target, x)
        if session.teacher is not None:
            loss = session.teacher.add(loss, outputs, x)
        total = loss.total.detach()
        self._check_finite(total)
        session.stepper.zero_grad()
        session.accelerator.backward(loss.total)
        norm = session.accelerator.clip_grad_norm_(
            session.plain.parameters(), self._settings.clip or math.inf
        )
        # A loss scaler overflows on purpose now and then, and skips that step itself.
        if session.accelerator.scaler is None:
            self._check_finite(norm)
        session.stepper.step()
        session.average.update(session.plain, step)
        parts = {f"loss_{name}": float(value) for name, value in loss.parts.items()}
        return {"loss": float(total), **parts}

    def _scaled(self, x: Tensor, target: Any, step: int) -> tuple[Tensor, Any]:  # noqa: ANN401 - differs per task
        """The batch at the size that it is to have."""
        recipe = self.session.recipe
        factors, plain = recipe.augment.multiscale, self._progress.epoch >= recipe.plain_from
        if plain or factors == (1.0, 1.0) or recipe.task != "detect":
            return x, target
        # The same in every process, and in a resumed run.
        rng = np.random.default_rng([recipe.seed, step])
        return rescale(x, target, rng.uniform(*factors))

    def _check_finite(self, value: Tensor) -> None:
        if math.isfinite(float(value)):
            return
        last = self.session.folder / LAST
        kept = f"the last good checkpoint is {last}" if last.is_file() else "nothing was saved yet"
        raise EdgennError(
            f"the loss stopped being a number in epoch {self._progress.epoch + 1}, step "
            f"{self._progress.batch + 1}; {kept}; lower train.lr, or look for broken samples with "
            "'edgenn data check'"
        )

    def _close_epoch(self, bar: tqdm[Any]) -> None:
        """Validate if it is due, and write everything down."""
        progress, session = self._progress, self.session
        progress.epoch += 1
        row = {"epoch": float(progress.epoch)}
        row |= {name: value / self._steps for name, value in progress.sums.items()}
        row["lr"] = rate(self._settings, progress.epoch * self._steps - 1, self._total)
        progress.batch, progress.sums = 0, {}
        if self._is_due() and session.main:
            row |= self._validate()
        # Also the place where other processes wait for the validation.
        row = broadcast_object_list([row])[0]
        if (value := row.get(session.header.metric, -1.0)) > progress.best:
            progress.best, progress.best_epoch = value, progress.epoch
        progress.history.append(row)
        self._save()
        if session.main:
            report.write_history(session.folder, progress.history, session.header.metric)
            bar.set_postfix(self._shown(), refresh=False)
            _log.info(self._line(row))

    def _validate(self) -> dict[str, float]:
        """Measure the averaged weights, and keep them if they are the best so far."""
        session = self.session
        metrics, _ = session.judge(session.average.net)
        session.header = session.header.model_copy(update={"metrics": metrics.flat()})
        if metrics.main > self._progress.best:
            tensors = checkpoint.prefixed(MODEL, session.average.net.state_dict())
            checkpoint.save(session.folder / BEST, session.header, tensors)
        return {metrics.name: metrics.main, **metrics.extra}

    def _save(self) -> None:
        now = monotonic()
        self._progress.seconds += now - self._since
        self._since = now
        if self.session.main:
            state.save(self.session)

    def _is_due(self) -> bool:
        epoch = self._progress.epoch
        return epoch % self._settings.eval_every == 0 or epoch == self._settings.epochs

    def _done(self) -> bool:
        """Whether all epochs are over, or the metric has not risen for too long."""
        progress, patience = self._progress, self._settings.patience
        if progress.epoch >= self._settings.epochs:
            return True
        waited = progress.epoch - progress.best_epoch
        late = bool(patience) and self._is_due() and waited >= patience
        if late and self.session.main:
            _log.info(
                "stopping early: no gain since epoch %d (train.patience is %d)",
                progress.best_epoch,
                patience,
            )
        return late

    def _asked(self) -> bool:
        """Whether any process was asked to stop; all of them must agree."""
        accelerator = self.session.accelerator
        if accelerator.num_processes == 1:
            return self._stop.asked
        if self._stop.asked:
            accelerator.set_trigger()
        return bool(accelerator.check_trigger())

    @contextmanager
    def _bar(self) -> Iterator[tqdm[Any]]:
        done = self._progress.epoch * self._steps + self._progress.batch
        # None: only where somebody watches; a log file gets one line per epoch.
        disable = None if self.session.main else True
        with (
            logging_redirect_tqdm(),
            tqdm(total=self._total, initial=done, unit="step", disable=disable) as bar,
        ):
            yield bar

    def _shown(self) -> dict[str, str]:
        progress = self._progress
        shown = {"epoch": str(min(progress.epoch + 1, self._settings.epochs))}
        if progress.batch:
            shown["loss"] = f"{progress.sums['loss'] / progress.batch:.4f}"
        if progress.best_epoch:
            shown[f"best {self.session.header.metric}"] = f"{progress.best:.4f}"
        return shown

    def _line(self, row: dict[str, float]) -> str:
        name, progress = self.session.header.metric, self._progress
        text = f"epoch {progress.epoch}/{self._settings.epochs}  loss {row['loss']:.4f}"
        if name in row:
            text += f"  {name} {row[name]:.4f}"
        return f"{text}  (best {progress.best:.4f})" if progress.best_epoch else text

"""A thread that looks for a newer bundle, proves it, tries it and goes back if need be."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import edgenn
from edgenn.bundle.store import Bundle, open_bundle
from edgenn.bundle.trust import Policy
from edgenn.errors import (
    BundleError,
    EdgennError,
    MissingExtraError,
    ModelError,
    ParityError,
    SourceError,
    TrustError,
    UsageError,
)
from edgenn.runtime.model import Model
from edgenn.runtime.pipeline import Pipeline
from edgenn.runtime.update import serials
from edgenn.runtime.update.download import Client
from edgenn.runtime.update.index import MAX_INDEX, SIGNED, Release, choose, parse_index
from edgenn.runtime.update.loader import Loader
from edgenn.runtime.update.slots import Slot, Slots, Trial
from edgenn.runtime.update.trial import Rules, Watch, patience, prove

_log = logging.getLogger(__name__)
# A whole fleet that comes back after a power cut does not ask at the same moment.
_FIRST_S = 10.0
_SPREAD = 0.1


class Updater:
    """Keeps the bundle of a run up to date; the run goes on whatever happens here.

    Args:
        url: Of the index.
        slots: Where bundles are kept.
        policy: What they have to bring; None takes unsigned ones.
        device: Id of this device.
        loader: Makes the model to run of a bundle.
        poll_s: Seconds between two looks.
        rules: When a new bundle is good enough.
        client: Gets files; None for one with timeouts as usual.
        ledger: File of the largest serial of each model that ran; see `serials`.

    Attributes:
        name: Of the model that runs; empty before the first.
        serial: Of what runs; 0 where it is not known.
        slot: "a", "b", or empty where what runs is in neither.
    """

    def __init__(
        self,
        url: str,
        slots: Slots,
        policy: Policy | None,
        device: str,
        loader: Loader,
        *,
        poll_s: float = 600.0,
        rules: Rules | None = None,
        client: Callable[[threading.Event], Client] = Client,
        ledger: Path | None = None,
    ) -> None:
        self.name, self.serial, self.slot = "", 0, ""
        self._url, self._slots, self._policy, self._device = url, slots, policy, device
        self._loader, self._poll_s, self._rules = loader, poll_s, rules or Rules()
        self._ledger = ledger
        self._stopped = threading.Event()
        self._client = client(self._stopped)
        self._hopeless: set[str] = set()  # hashes of files that no further look makes better
        self._said = ""
        self._running: Model | None = None
        self._pipeline: Pipeline | None = None
        self._trying = False
        self._thread = threading.Thread(target=self._follow, name="update", daemon=True)

    def start_with(self, factory: Callable[[], tuple[Model, int]] | None) -> Model:
        """The model to begin with: the newer one of the confirmed slot and the factory's.

        Without either the first release is downloaded, proved and confirmed.

        Args:
            factory: Loads the bundle that the device came with, and tells its serial. One that
                is not trusted any more, as its key was replaced, counts for nothing.

        Raises:
            EdgennError: There is nothing that may run.
        """
        made, fault = _made(factory)
        while (slot := self._slots.good()) is not None and (made is None or slot.serial > made[1]):
            try:
                model = self._loader.load(self._open(self._slots.path(slot), slot))
            except (TrustError, ModelError) as error:
                _log.warning("%s; what ran before is used", error)
                self._slots.forget(slot)
                continue
            return self._runs(model, slot.serial, slot.slot)
        if made is not None:
            return self._runs(made[0], made[1], "")
        try:
            return self._first()
        except ModelError as error:
            # What a server has may be another thing soon: no reason for systemd to give up.
            raise fault or SourceError(str(error)) from error
        except EdgennError as error:
            raise (fault or error) from None

    def _first(self) -> Model:
        release = self._look()
        if release is None:
            raise BundleError(f"{self._url} has no release for this device yet; name a MODEL")
        trial = self._obtain(release)
        model = self._loader.load(self._open(self._slots.path(trial), trial))
        self._slots.confirm()
        return self._runs(model, trial.serial, trial.slot)

    def follow(self, pipeline: Pipeline) -> Updater:
        """Begin to look for newer ones, for a run that uses the model of `start_with`."""
        self._pipeline = pipeline
        self._thread.start()
        return self

    def about(self) -> dict[str, Any]:
        """Name, serial and slot of what runs."""
        return {"bundle": self.name, "serial": self.serial, "slot": self.slot}

    def close(self) -> None:
        """End what goes on; a trial that is not over begins anew at the next start."""
        self._end()
        self._slots.close()

    def __enter__(self) -> Updater:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        trying = self._trying
        self._end()
        trial = self._slots.state.trial
        if trying and isinstance(error, ModelError) and trial is not None:
            _log.warning("%s serial %d ended the run; it is not tried again", *_named(trial))
            self._slots.refuse(trial.serial)
        self.close()

    def _end(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _follow(self) -> None:
        pause = random.uniform(0, min(_FIRST_S, self._poll_s))
        while not self._stopped.wait(pause):
            try:
                self._once()
                self._said = ""
            except InterruptedError:
                return
            except EdgennError as error:
                self._tell(f"no update: {error}")
            except Exception:  # noqa: BLE001  a fault of updates must not end updates
                _log.exception("no update")
            pause = self._poll_s * random.uniform(1 - _SPREAD, 1 + _SPREAD)

    def _once(self) -> None:
        """One look."""
        trial = self._slots.state.trial
        if trial is not None and trial.serial <= self.serial:
            self._slots.refuse(trial.serial)  # a newer one was installed by hand
            trial = None
        if trial is None and (release := self._look()) is not None:
            trial = self._obtain(release)
        if trial is not None:
            self._try()

    def _tell(self, text: str) -> None:
        """A line for the log, unless it was the last one."""
        if text != self._said and not self._stopped.is_set():
            self._said = text
            _log.warning("%s", text)

    def _look(self) -> Release | None:
        data = self._client.fetch(self._url, MAX_INDEX)
        index = parse_index(data, self._url)
        name = self.name or index.name
        if self._policy is not None:
            self._check_index(self._policy, data, name)
        choice = choose(
            index,
            name=name,
            serial=max(self.serial, self._slots.serial),
            floor=0 if self._ledger is None else serials.floor(self._ledger, name),
            refused=self._slots.state.refused,
            device=self._device,
            edgenn=edgenn.__version__,
        )
        if choice.reason:
            raise BundleError(choice.reason)
        if choice.release is not None and choice.release.sha256 in self._hopeless:
            return None
        return choice.release

    def _check_index(self, policy: Policy, data: bytes, name: str) -> None:
        """Refuse an index that is older than one before, or that lost its signature.

        Raises:
            TrustError: It is.
        """
        url, key = signature_url(self._url), f"index of {name}"
        seen = 0 if self._ledger is None else serials.floor(self._ledger, key)
        signed = self._client.fetch_if_any(url, MAX_INDEX)
        if not signed.lstrip().startswith(b"{"):  # a page that says so, if anything
            if seen:
                raise TrustError(
                    f"{self._url} was signed before, and is not any more; it is ignored"
                )
            return
        said = policy.open_index(data, signed, url)
        if said.name != name:
            raise TrustError(f"{url} is of {said.name}, but {name} runs here; it is ignored")
        if said.edition < seen:
            raise TrustError(
                f"{self._url} is edition {said.edition}, but {seen} was seen here; it is ignored"
            )
        if self._ledger is not None:
            serials.remember(self._ledger, key, said.edition)

    def _obtain(self, release: Release) -> Trial:
        """Download, check and prove a release, and put it into the free slot."""
        _log.info("%s serial %d: downloading %d bytes", release.name, release.serial, release.size)
        part = self._slots.part(release.sha256)
        self._client.download(urljoin(self._url, release.url), part, release.size, release.sha256)
        slot = Slot(slot="a", name=release.name, serial=release.serial, sha256=release.sha256)
        try:
            bundle = self._open(part, slot)
            prove(part, self._loader.variant(bundle), self._stopped)
        except (TrustError, ModelError, UsageError, MissingExtraError):
            # The same bytes would be refused again: they are not fetched each time.
            self._hopeless.add(release.sha256)
            part.unlink(missing_ok=True)
            raise
        except ParityError as error:
            self._slots.refuse(release.serial)
            part.unlink(missing_ok=True)
            raise ParityError(
                f"{release.name} serial {release.serial} fails its golden samples and is not "
                f"tried again: {error}"
            ) from error
        return self._slots.place(part, release.name, release.serial, release.sha256)

    def _open(self, path: Path, wanted: Slot) -> Bundle:
        if self._policy is None:
            bundle, serial = open_bundle(path), wanted.serial
            bundle.check()
        else:
            trusted = self._policy.open(path)
            bundle, serial = trusted.bundle, trusted.statement.serial
        if (bundle.manifest.name, serial) != (wanted.name, wanted.serial):
            raise TrustError(
                f"{path} is {bundle.manifest.name} serial {serial}, but {wanted.name} serial "
                f"{wanted.serial} was promised; it is refused"
            )
        return bundle

    def _try(self) -> None:
        """Put what is on trial into the run, and decide."""
        assert self._pipeline is not None
        assert self._running is not None
        if not self._is_busy():
            return
        trial = self._slots.begin()
        if trial is None:
            return
        watch = Watch(self._pipeline.health, self._rules)
        try:
            model = self._loader.load(self._open(self._slots.path(trial), trial))
            self._trying = True
            self._pipeline.swap(model, watch.on_fault)
            _log.info("%s serial %d is on trial for %g s", *_named(trial), self._rules.trial_s)
            why = watch.wait(self._stopped)
        except EdgennError as error:
            why = str(error)
        if why is None:
            self._slots.postpone()
        elif why:
            self._go_back(trial, why, watch)
        else:
            self._slots.confirm()
            self._pipeline.model.on_fault = None
            self._runs(model, trial.serial, trial.slot)
            _log.info("%s serial %d is confirmed", *_named(trial))
        self._trying = False

    def _go_back(self, trial: Slot, why: str, watch: Watch) -> None:
        assert self._pipeline is not None
        assert self._running is not None
        stuck = self._pipeline.busy_s > 1
        self._pipeline.swap(self._running)
        # Without pictures no model has results; then it is the source that failed.
        if watch.silent and not stuck and not self._is_busy():
            self._slots.postpone()
            self._tell(f"{trial.name} serial {trial.serial} is tried later: the source is away")
            return
        self._slots.refuse(trial.serial)
        _log.warning("%s serial %d is taken back and not tried again: %s", *_named(trial), why)

    def _is_busy(self) -> bool:
        """Whether results come; waits for one as long as a trial would."""
        assert self._pipeline is not None
        health = self._pipeline.health
        frames, until = health.frames, monotonic() + patience(health, self._rules)
        while monotonic() < until and not self._stopped.wait(0.05):
            if health.frames != frames:
                return True
        return False

    def _runs(self, model: Model, serial: int, slot: str) -> Model:
        self.name, self.serial, self.slot = model.manifest.name, serial, slot
        self._running = model
        if self._ledger is not None:
            try:
                serials.remember(self._ledger, self.name, serial)
            except TrustError as error:  # a full disk is no reason to stop what is trusted
                _log.warning("%s", error)
        return model


def _made(
    factory: Callable[[], tuple[Model, int]] | None,
) -> tuple[tuple[Model, int] | None, TrustError | None]:
    """What a factory makes, or why that is not trusted."""
    if factory is None:
        return None, None
    try:
        return factory(), None
    except TrustError as error:
        _log.warning("%s; what the server has is used, if anything", error)
        return None, error


def signature_url(url: str) -> str:
    """Address of the signature beside an index."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path + SIGNED))


def _named(slot: Slot) -> tuple[str, int]:
    return slot.name, slot.serial

"""How a bundle becomes the model that runs: the user's wishes, kept for every later bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgenn.bundle.manifest import EngineName, Precision, Variant
from edgenn.bundle.store import Bundle
from edgenn.runtime.engines._providers import Provider
from edgenn.runtime.files import choose, on_gpu
from edgenn.runtime.model import Model, from_bundle


@dataclass(frozen=True, slots=True)
class Loader:
    """As the arguments of `edgenn.load`."""

    engine: EngineName | Literal["auto"] = "auto"
    precision: Precision | None = None
    threads: int = 0
    conf: float | None = None
    iou: float | None = None
    provider: Provider = "auto"
    half: bool = False

    def variant(self, bundle: Bundle) -> Variant:
        """The file of a bundle that would run.

        Raises:
            UsageError: It has none as wanted.
            MissingExtraError: No engine for it is installed.
        """
        return choose(bundle, *on_gpu(self.provider, self.engine, self.precision))

    def load(self, bundle: Bundle) -> Model:
        """The model.

        Reads through the bundle that was checked, never its path anew.

        Raises:
            EdgennError: As for `variant`, and where the file is damaged.
        """
        return from_bundle(
            bundle,
            self.variant(bundle),
            threads=self.threads,
            conf=self.conf,
            iou=self.iou,
            provider=self.provider,
            half=self.half,
        )

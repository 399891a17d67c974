"""``edgenn run --web``: opens the page and says where it is."""

from __future__ import annotations

import click

from edgenn.bundle.store import open_bundle
from edgenn.errors import BundleError
from edgenn.runtime.files import resolve
from edgenn.runtime.model import Model
from edgenn.runtime.sinks.web import WebSink, open_sink

_MAX_CARD = 1 << 20


def open_page(target: str, token: str | None, path: str, model: Model) -> WebSink:
    """Open the page, and print its address with the token if that was made up.

    Args:
        target: ``[HOST:]PORT``.
        token: What the user wants it to be; None for none or a made-up one.
        path: What ``model`` was loaded from, as `edgenn.load` takes it.
        model: The model that runs.

    Raises:
        UsageError: The address or the token will not do.
        SinkError: The address cannot be bound.
    """
    name = model.manifest.name
    sink = open_sink(target, token=token, model=name, card=_card(path))
    secret = f"?token={sink.token}" if sink.token and token is None else ""
    click.echo(f"web page at {sink.url}{secret}", err=True)
    return sink


def _card(path: str) -> str:
    try:
        return open_bundle(resolve(path)).read("card.md", _MAX_CARD).decode(errors="replace")
    except BundleError:  # a bare model file, or a bundle without a card: the page says so
        return ""

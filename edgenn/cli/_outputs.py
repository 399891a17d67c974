"""What a command writes: the flags that name outputs, and the sinks that they open."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from edgenn import plugins
from edgenn.cli._options import Number, gathered, not_empty
from edgenn.errors import UsageError
from edgenn.runtime import sinks
from edgenn.runtime.model import Model
from edgenn.runtime.sinks import Sink
from edgenn.runtime.sinks._home import Home
from edgenn.runtime.sources import Source


@dataclass(frozen=True, slots=True)
class OutputFlags:
    """The flags as the user gave them; None where he did not."""

    out: str | None
    out_max_mb: float | None
    mqtt: str | None
    mqtt_buffer: str | None
    mqtt_ca: str | None
    mqtt_cert: str | None
    mqtt_key: str | None
    mqtt_ha: bool
    mqtt_ha_prefix: str | None
    webhook: str | None
    gpio: str | None
    save: str | None
    show: bool
    web: str | None
    web_token: str | None

    def check(self, *read: str | None) -> None:
        """Refuse flags that belong to one that is missing, and files that are needed.

        Args:
            read: What the command reads; files must not be written to.

        Raises:
            UsageError: Names both.
        """
        for name in filter(None, read):
            self._spare(name)
        if self.out and self.save and Path(self.out).resolve() == Path(self.save).resolve():
            raise UsageError(f"--out and --save both name {self.out}; give each a file of its own")
        _belongs("--web-token", _is_typed("web_token") or None, "--web", self.web)
        _belongs("--out-max-mb", self.out_max_mb, "--out", self.out)
        _belongs("--mqtt-buffer", self.mqtt_buffer, "--mqtt", self.mqtt)
        for flag in ("ca", "cert", "key"):
            _belongs(f"--mqtt-{flag}", getattr(self, f"mqtt_{flag}"), "--mqtt", self.mqtt)
        _belongs("--mqtt-ha", self.mqtt_ha or None, "--mqtt", self.mqtt)
        _belongs("--mqtt-ha-prefix", self.mqtt_ha_prefix, "--mqtt-ha", self.mqtt_ha or None)

    def open(
        self,
        model: Model,
        path: str,
        feed: Source,
        stack: contextlib.ExitStack,
        events: tuple[str, ...] = (),
    ) -> list[Sink]:
        """Open the sinks; ``stack`` closes them, also when a later one cannot be opened.

        Args:
            model: Whose results they get.
            path: What it was loaded from.
            feed: What it looks at.
            stack: Owns the sinks.
            events: Labels of events, where the model is a detector.

        Raises:
            SinkError: One cannot be opened.
            UsageError: One does not fit the model or the source.
        """
        opened: list[Sink] = []
        options: dict[str, dict[str, Any]] = {
            "jsonl": {"max_mb": self.out_max_mb},
            "mqtt": self._mqtt(model, events),
            "gpio": {"labels": (*model.labels, *events)},
        }
        for name, target in self._wanted(model, feed):
            sink = plugins.load(sinks, name).open_sink(target, feed.fps, **options.get(name, {}))
            stack.callback(sink.close)
            opened.append(sink)
        if self.web is not None:
            from edgenn.cli import _web

            page = _web.open_page(self.web, self.web_token, path, model)
            stack.callback(page.close)
            opened.append(page)
        return opened

    def _mqtt(self, model: Model, events: tuple[str, ...]) -> dict[str, Any]:
        options: dict[str, Any] = {"buffer": self.mqtt_buffer}
        options |= {"ca": self.mqtt_ca, "cert": self.mqtt_cert, "key": self.mqtt_key}
        if self.mqtt_ha:
            options["home"] = Home(
                model.manifest.name,
                model.labels,
                detects=model.manifest.task == "detect",
                events=events,
                prefix=self.mqtt_ha_prefix or "homeassistant",
            )
        return options

    def _spare(self, name: str) -> None:
        """Make sure that a file that is read is not written to."""
        for target in filter(None, (self.out, self.save)):
            path, read = Path(target), Path(name)
            if path.is_file() and read.exists() and path.samefile(read):
                raise UsageError(f"{target} is what is read; write to another file")

    def _wanted(self, model: Model, feed: Source) -> list[tuple[str, str]]:
        """Name and target of each sink that was asked for."""
        if (self.save or self.show) and model.manifest.input.kind != "image":
            raise UsageError(
                f"--save and --show need pictures; {model.manifest.name} takes sensor readings"
            )
        self._spare(feed.name)
        wanted = {
            "jsonl": self.out,
            "video": self.save,
            "window": f"edgenn {model.manifest.name}" if self.show else None,
            "mqtt": self.mqtt,
            "webhook": self.webhook,
            "gpio": self.gpio,
        }
        return [(name, target) for name, target in wanted.items() if target is not None]


def _belongs(flag: str, value: object, needed: str, there: object) -> None:
    if value is not None and there is None:
        raise UsageError(f"{flag} is of no use without {needed}")


def _is_typed(name: str) -> bool:
    """Whether a flag is in the command itself; its environment variable may be there for all."""
    context = click.get_current_context()
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


output_options = gathered(
    OutputFlags,
    "outputs",
    click.option(
        "--out", metavar="FILE.jsonl|-", callback=not_empty, help="Write one JSON object a line."
    ),
    click.option(
        "--out-max-mb",
        type=Number(min=0, min_open=True),
        help="Rotate the file of --out at so many MB, and keep five old ones.",
    ),
    click.option(
        "--mqtt", metavar="URL", help="Send to mqtt[s]://[user:password@]host[:port]/topic."
    ),
    click.option(
        "--mqtt-buffer",
        metavar="DIR",
        help="Where results wait for the broker.  [XDG state folder]",
    ),
    click.option("--mqtt-ca", metavar="FILE", help="Certificates to trust, beside the system's."),
    click.option("--mqtt-cert", metavar="FILE", help="Certificate that this device shows."),
    click.option("--mqtt-key", metavar="FILE", help="Its private key."),
    click.option("--mqtt-ha", is_flag=True, help="Announce the labels to Home Assistant."),
    click.option("--mqtt-ha-prefix", metavar="TOPIC", help="Where.  [homeassistant]"),
    click.option("--webhook", metavar="URL", help="POST what happens, as JSON."),
    click.option(
        "--gpio",
        metavar="PIN[=LABEL]",
        help="Switch pins, as 17=person,27=wave?hold=2 or 22?active_low.",
    ),
    click.option(
        "--save",
        metavar="VIDEO",
        callback=not_empty,
        help="Write a video with the results drawn in.",
    ),
    click.option("--show", is_flag=True, help="Show the results in a window; q ends."),
    click.option("--web", metavar="[HOST:]PORT", help="Serve a page with picture, events, charts."),
    click.option(
        "--web-token",
        envvar="EDGENN_WEB_TOKEN",
        metavar="TEXT",
        help="What the page wants to know, also from EDGENN_WEB_TOKEN.  [none on 127.0.0.1]",
    ),
    title="Outputs",
)

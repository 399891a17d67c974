"""What several commands ask for in the same words."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
Command = Callable[..., None]
_TITLE = "edgenn_title"


class FiniteRange(click.FloatRange):
    """A number in a range, and not nan, which click finds to be in any."""

    def convert(
        self,
        value: Any,  # noqa: ANN401  click's own
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """The number."""
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return found


class Sections(click.Command):
    """A command whose help has its options under the titles that `gathered` gave them."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, those without a title first."""
        rows: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            row = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if row is not None:
                rows.setdefault(getattr(param, _TITLE, "Options"), []).append(row)
        for title, shown in rows.items():
            if shown:
                with formatter.section(title):
                    formatter.write_dl(shown)


def gathered(
    into: type, name: str, *options: Callable[[Any], Any], title: str = "Options"
) -> Callable[[Command], Command]:
    """Add options that reach the command as one value.

    Args:
        into: A dataclass with a field per option.
        name: The command's parameter for it.
        options: What ``click.option`` returns, in the order of the help.
        title: Of their section in the help; see `Sections`.
    """
    fields = [field.name for field in dataclasses.fields(into)]

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def gather(*args: object, **values: object) -> None:
            flags = into(**{field: values.pop(field) for field in fields})
            command(*args, **{name: flags}, **values)

        added: Command = gather
        for option in reversed(options):
            added = option(added)
            # Click keeps them there until it makes the command.
            setattr(added.__click_params__[-1], _TITLE, title)  # type: ignore[attr-defined]
        return added

    return add


def engine_options(engine: str, precision: str) -> Callable[[F], F]:
    """Add ``--engine``, ``--precision`` and ``--threads``.

    Args:
        engine: Help of the first.
        precision: Help of the second.
    """
    options = (
        click.option(
            "--engine",
            type=click.Choice(["auto", "onnx", "litert"]),
            default="auto",
            show_default=True,
            help=engine,
        ),
        click.option("--precision", type=click.Choice(["fp32", "fp16", "int8"]), help=precision),
        click.option(
            "--threads",
            type=click.IntRange(min=0),
            default=0,
            help="Threads of the engine.  [it chooses: LiteRT 1, ONNX Runtime all cores]",
        ),
    )

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@dataclasses.dataclass(frozen=True, slots=True)
class ProviderFlags:
    """Where ONNX Runtime computes; fields as `edgenn.load` takes them."""

    provider: Literal["auto", "cpu", "cuda", "tensorrt"]
    half: bool

    def arguments(self) -> dict[str, Any]:
        """By the names that `edgenn.load` has for them."""
        return dataclasses.asdict(self)


provider_options = gathered(
    ProviderFlags,
    "place",
    click.option(
        "--provider",
        type=click.Choice(["auto", "cpu", "cuda", "tensorrt"]),
        default="auto",
        show_default=True,
        help="ONNX Runtime: where it computes. auto takes what is ready, and logs why.",
    ),
    click.option("--half", is_flag=True, help="TensorRT: compute in fp16."),
)


JOIN_HELP = (
    "Sequence models: lay the recordings of each group one after the other with pauses between "
    "them, and measure events there; for data that is only clips."
)


def split_names(text: str) -> list[str]:
    """Names that a user separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]

"""The command line: one file per command, imported only when that command is used.

A file's name is the command's name; it has one object ``command``, a click
command. Heavy packages are imported inside it, so that ``edgenn --help`` works
on a device that has only the light install.
"""

from __future__ import annotations

import errno
import logging
import os
import sys

import click

import edgenn
from edgenn import plugins
from edgenn.errors import EdgennError, SinkError, UnknownNameError

_log = logging.getLogger("edgenn")


class LazyGroup(click.Group):
    """Finds commands as files of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands."""
        del ctx
        return [name.replace("_", "-") for name in plugins.names(sys.modules[__name__])]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        try:
            module = plugins.load(sys.modules[__name__], cmd_name.replace("-", "_"))
        except UnknownNameError as error:
            raise click.UsageError(str(error)) from error
        command: click.Command = module.command
        return command


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(edgenn.__version__, prog_name="edgenn")
@click.option("-v", "--verbose", is_flag=True, help="Log what is going on, also debug messages.")
def cli(verbose: bool) -> None:
    """Train, quantise, verify and run compact neural networks on small devices."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, format="%(levelname)s %(message)s"
    )
    # Libraries below log at their own discretion; only edgenn's voice is wanted at INFO.
    logging.getLogger().setLevel(logging.DEBUG if verbose else logging.WARNING)
    _log.setLevel(logging.DEBUG if verbose else logging.INFO)


def main() -> None:
    """Entry point: a user's mistake ends in one sentence and an exit code, not in a traceback."""
    code = _run()
    try:
        sys.stdout.flush()
    except OSError:
        # Its reader is gone, such as head, or the disk is full, which was reported before.
        # What is left over goes nowhere, or Python would try and complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _run() -> int:
    try:
        code = cli.main(standalone_mode=False)
    except EdgennError as error:
        click.echo(f"edgenn: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("edgenn: interrupted", err=True)
        return 130
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        click.echo(f"edgenn: cannot write {error.filename or 'the output'}: disk full", err=True)
        return SinkError.exit_code
    return code if isinstance(code, int) else 0

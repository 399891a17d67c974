"""``edgenn train``: from a recipe to a run folder."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edgenn.train.loop import Outcome


class RecipeHelp(click.Command):
    """Lists every key of a recipe below the options, from the schema itself."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the keys."""
        from edgenn.recipe.describe import keys

        super().format_epilog(ctx, formatter)
        with formatter.section("Keys of a recipe, and of --set"):
            formatter.write_dl(keys())


@click.command(cls=RecipeHelp, short_help="Train a network as a recipe says.")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--data", type=click.Path(path_type=Path), help="Where the data is.  [the recipe's data.path]"
)
@click.option("--epochs", type=int, help="Same as --set train.epochs=N.")
@click.option("--batch", type=int, help="Same as --set train.batch=N.")
@click.option("--imgsz", type=int, help="Same as --set input.imgsz=N.")
@click.option(
    "--weights",
    help="Checkpoint to start from, of any run or backbone; same as --set net.weights=FILE.",
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="[the best there is]")
@click.option("--resume", is_flag=True, help="Continue the last run of that name.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a key of the recipe."
)
@click.option(
    "--name", help="Name of the run.  [the recipe's name, with a number where that is taken]"
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of all runs.",
)
@click.pass_context
def command(
    ctx: click.Context,
    recipe: Path,
    data: Path | None,
    epochs: int | None,
    batch: int | None,
    imgsz: int | None,
    weights: str | None,
    device: str | None,
    resume: bool,
    settings: tuple[str, ...],
    name: str | None,
    runs: Path,
) -> None:
    """Train a network as RECIPE says, a YAML file.

    Writes RUNS/NAME: best.safetensors, last.safetensors (for --resume),
    recipe.yaml, metrics.csv, curves.png, confusion.png or detections.png, and
    summary.json. Ctrl-C leaves a checkpoint that --resume continues to the same
    result. For several GPUs or hosts: accelerate launch -m edgenn train RECIPE.
    """
    short = {
        "train.epochs": epochs,
        "train.batch": batch,
        "input.imgsz": imgsz,
        "net.weights": weights,
    }
    overrides = [f"{key}={value}" for key, value in short.items() if value is not None]
    try:
        from edgenn.recipe.load import load_recipe
        from edgenn.train.loop import train
        from edgenn.train.setup import Job
    except ModuleNotFoundError as error:
        from edgenn.plugins import missing_extra

        raise missing_extra(error, "edgenn train") from error

    checked = load_recipe(recipe, [*overrides, *settings])
    outcome = train(Job(checked, runs, name, data, device, resume))
    if outcome.main:
        _say(outcome)
    if not outcome.finished:
        ctx.exit(130)


def _say(outcome: Outcome) -> None:
    if not outcome.finished:
        arguments = [a for a in sys.argv[1:] if a != "--resume"]
        click.echo(
            f"stopped in epoch {outcome.epoch + 1}; continue with: "
            f"edgenn {shlex.join(arguments)} --resume",
            err=True,
        )
        return
    click.echo(
        f"{outcome.metric} {outcome.best:.4f} in epoch {outcome.best_epoch}; "
        f"next: edgenn export {outcome.folder}"
    )

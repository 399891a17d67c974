"""``edgenn schema``: the recipe's JSON schema, for editors."""

from __future__ import annotations

import json

import click


@click.command(short_help="Print the JSON schema of recipes, for editors.")
def command() -> None:
    r"""Print the JSON schema of recipes.

    Save it, and name it in the first line of a recipe to get completion and
    checks in editors that have a YAML language server:

    \b
        edgenn schema > recipe.schema.json
        # yaml-language-server: $schema=recipe.schema.json
    """
    from edgenn.recipe.describe import json_schema

    click.echo(json.dumps(json_schema(), indent=1))

"""``portraitist recipes``: named settings and their sources."""

from typing import Annotated

import typer

from portraitist.cli.reporting import say


def recipes(
    name: Annotated[str | None, typer.Argument(help="Show this recipe, e.g. toyland/lora.", show_default=False)] = None,
) -> None:
    """List the recipes, or show one with the sources of its values; save it, edit it, pass it to train --recipe."""
    from portraitist.training.recipes import list_recipes, recipe_text

    if name is None:
        for each in list_recipes():
            say(each)
    else:
        say(recipe_text(name).rstrip())

"""Named settings for each method and base, with their sources; every one can be overridden."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from portraitist.training.recipes.shipped import list_recipes, recipe_text

if TYPE_CHECKING:
    from portraitist.training.recipes.recipe import CollageFit, Recipe, load_recipe

# Where the names live that need the methods, and so torch; imported when first used, so that listing stays quick.
_HOMES = {
    "CollageFit": "portraitist.training.recipes.recipe",
    "Recipe": "portraitist.training.recipes.recipe",
    "load_recipe": "portraitist.training.recipes.recipe",
}

__all__ = ["CollageFit", "Recipe", "list_recipes", "load_recipe", "recipe_text"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

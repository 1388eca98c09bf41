"""Named settings for each method and base, with their sources; every one can be overridden."""

from portraitist.training.recipes.recipe import CollageFit, Recipe, list_recipes, load_recipe, recipe_text

__all__ = ["CollageFit", "Recipe", "list_recipes", "load_recipe", "recipe_text"]

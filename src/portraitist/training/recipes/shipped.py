"""The recipes that ship with the package, as they are written."""

from importlib.resources import files

from portraitist.errors import BadConfig


def list_recipes() -> list[str]:
    """Return the names of the recipes that ship with the package, ``<base or family>/<method>``."""
    root = files("portraitist.training.recipes")
    return sorted(
        f"{folder.name}/{file.name.removesuffix('.yaml')}"
        for folder in root.iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    )


def recipe_text(name: str) -> str:
    """Return the file of a shipped recipe, whose comments name the sources of its values.

    Raises:
        BadConfig: If there is none of this name, naming those there are.
    """
    if name not in list_recipes():
        raise BadConfig(f"there is no recipe {name!r}; choose one of {', '.join(list_recipes())}")
    return files("portraitist.training.recipes").joinpath(f"{name}.yaml").read_text()

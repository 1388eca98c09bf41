"""Recipes of hypernetworks that ship with the package."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from portraitist.errors import BadConfig
from portraitist.hypernetworks.settings import HypernetworkRecipe, parse_recipe, read_recipe_file, read_sections

USUAL = "portraitist"


def list_recipes() -> list[str]:
    """Return the names of the shipped recipes."""
    names = (file.name for file in files(__name__).iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def load_recipe(name: str = USUAL, changes: Mapping[str, Any] | None = None) -> HypernetworkRecipe:
    """Return a recipe, shipped or of the user's.

    Args:
        name: A shipped recipe's name, or the path of a YAML file.
        changes: Settings that differ from it, by section.

    Raises:
        BadConfig: If there is none, or a setting is unknown, missing or of the wrong kind.
    """
    if name in list_recipes():
        sections = read_sections(files(__name__).joinpath(f"{name}.yaml").read_text(), name)
    elif Path(name).exists():
        sections = read_recipe_file(Path(name))
    else:
        raise BadConfig(f"there is no recipe {name!r}; choose {' or '.join(list_recipes())}, or give a YAML file")
    for section, values in (changes or {}).items():
        if not isinstance(values, Mapping):
            raise BadConfig(f"settings are spelt section.name=value, such as training.batch_size=16, not {section}=")
        sections[section] = {**sections.get(section, {}), **values}
    return parse_recipe(sections, name)

"""Recipes that ship with the package: here those of HyperDreamBooth; other kinds of hypernetworks read theirs alike."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from portraitist.errors import BadConfig
from portraitist.hypernetworks.settings import AnyRecipe, HypernetworkRecipe, read_recipe_file, read_sections
from portraitist.training.networks.settings import build_settings

USUAL = "portraitist"


def list_recipes(place: str = __name__) -> list[str]:
    """Return the names of the recipes that lie in a package."""
    names = (file.name for file in files(place).iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def load_recipe(name: str = USUAL, changes: Mapping[str, Any] | None = None) -> HypernetworkRecipe:
    """Return a recipe of HyperDreamBooth; see `read_recipe`."""
    return read_recipe(HypernetworkRecipe, __name__, name, changes)


def read_recipe(kind: type[AnyRecipe], place: str, name: str, changes: Mapping[str, Any] | None = None) -> AnyRecipe:
    """Return a recipe, shipped or of the user's.

    Args:
        kind: The recipe's class.
        place: The package in which the shipped ones lie.
        name: A shipped recipe's name, or the path of a YAML file.
        changes: Settings that differ from it, by section.

    Raises:
        BadConfig: If there is none, or a setting is unknown, missing or of the wrong kind.
    """
    if name in (shipped := list_recipes(place)):
        sections = read_sections(files(place).joinpath(f"{name}.yaml").read_text(), name)
    elif Path(name).exists():
        sections = read_recipe_file(Path(name))
    else:
        raise BadConfig(f"there is no recipe {name!r}; choose {' or '.join(shipped)}, or give a YAML file")
    for section, values in (changes or {}).items():
        if not isinstance(values, Mapping):
            raise BadConfig(f"settings are spelt section.name=value, such as training.batch_size=16, not {section}=")
        sections[section] = {**sections.get(section, {}), **values}
    return build_settings(kind, sections, name)

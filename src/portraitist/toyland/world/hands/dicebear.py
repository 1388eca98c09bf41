"""Artwork of the PyPI package ``dicebear-styles``: components of named styles as fragments of SVG.

Used here: ``big-ears`` (heads, hair and mouths of people; a remix of "Face Generator" by The Visual Team, CC BY 4.0),
``bottts`` (heads of robots; a remix of "Bottts" by Pablo Stanley, free for personal and commercial use) and
``critters`` (monsters, by DiceBear, CC0 1.0).
"""

import html
import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from portraitist.errors import MissingExtra


@cache
def load_style(name: str) -> dict[str, Any]:
    """Read a style.

    Raises:
        MissingExtra: If the package is not installed.
    """
    spec = find_spec("dicebear_styles")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("toyland", "dicebear-styles")
    path = Path(next(iter(spec.submodule_search_locations))) / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def component(style: str, name: str, variant: str, transform: str = "", **choice: str) -> str:
    """Return one variant of a component as a fragment, its open colours as slots named by the style.

    Args:
        style: Name of the style.
        name: Name of the component.
        variant: Which one.
        transform: SVG transform around it.
        choice: Variants of components within the component; those not named are left out.
    """
    elements = load_style(style)["components"][name]["variants"][variant]["elements"]
    inner = "".join(_element(style, element, choice) for element in elements)
    return f'<g transform="{transform}">{inner}</g>' if transform else inner


def _element(style: str, element: Mapping[str, Any], choice: Mapping[str, str]) -> str:
    attributes = element.get("attributes", {})
    if element["type"] == "component":
        variant = choice.get(element["name"])
        return component(style, element["name"], variant, attributes.get("transform", "")) if variant else ""
    if element["type"] != "element":
        return ""
    inner = "".join(_element(style, child, choice) for child in element.get("children", ()))
    return f"<{element['name']} {_attributes(attributes)}>{inner}</{element['name']}>"


def _attributes(attributes: Mapping[str, Any]) -> str:
    return " ".join(f'{key}="{_value(value)}"' for key, value in attributes.items())


def _value(value: Any) -> str:
    return f"@{value['name']}" if isinstance(value, Mapping) else html.escape(str(value))

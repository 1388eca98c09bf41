"""The demo as one HTML page that needs nothing beside it."""

import base64
import io
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from PIL import Image

from portraitist.studies.demo import SEEDS, Demo
from portraitist.units import in_bytes, in_time

# Pictures up to this side are shown enlarged with square pixels, and embedded without loss.
_SMALL = 128


def headline(demo: Demo) -> str:
    """Return the demo's title."""
    new = sum(len(comparison.after) for comparison in demo.comparisons)
    return f"One {demo.subject.class_noun}, {len(demo.subject.photos)} photos, {new} new pictures"


def summary(demo: Demo) -> str:
    """Return what happened, in one sentence."""
    size = demo.adapter_file.stat().st_size
    return (
        f"{demo.base_name} learnt what “{demo.trigger}” means in {in_time(demo.training_seconds)}."
        f" What it learnt is a file of {in_bytes(size)}. No photo shows a place that is asked for below."
    )


def render_page(demo: Demo) -> str:
    """Render the page: photos, comparisons, how it was made, settings and versions, licence."""
    environment = Environment(
        loader=PackageLoader("portraitist.studies"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["picture"] = _picture
    environment.filters["duration"] = in_time
    environment.filters["size"] = in_bytes
    return environment.get_template("demo.html.j2").render(
        demo=demo,
        headline=headline(demo),
        seeds=SEEDS,
        adapter_size=demo.adapter_file.stat().st_size,
        recipe=_recipe(demo),
    )


def _recipe(demo: Demo) -> dict[str, str]:
    """Return the recipe's settings that are in force, nested ones flattened."""
    settings = demo.recipe.model_dump(mode="json")
    nested = settings.pop("method_config")
    rows = {"method": settings.pop("method"), **nested, **settings}
    return {name.replace("_", " "): _word(value) for name, value in rows.items() if value is not None}


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _picture(image: Image.Image, description: str) -> Markup:
    """Return an ``img`` element with the picture inside."""
    buffer = io.BytesIO()
    small = max(image.size) <= _SMALL
    if small:
        image.save(buffer, format="PNG", optimize=True)
    else:
        image.convert("RGB").save(buffer, format="JPEG", quality=90)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup(
        '<img src="data:image/{format};base64,{data}" alt="{alt}" width="{width}" height="{height}"'
        ' class="{sharpness}" loading="lazy" decoding="async">'
    ).format(
        format="png" if small else "jpeg",
        data=data,
        alt=description,
        width=image.width,
        height=image.height,
        sharpness="small" if small else "large",
    )

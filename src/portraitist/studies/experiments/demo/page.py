"""The demo as one HTML page that needs nothing beside it."""

from typing import Any

from portraitist.studies.experiments.demo.demo import SEEDS, Demo
from portraitist.studies.pages.rendering import template_environment
from portraitist.units import in_bytes, in_time


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
    return (
        template_environment()
        .get_template("demo.html.j2")
        .render(
            demo=demo,
            headline=headline(demo),
            seeds=SEEDS,
            adapter_size=demo.adapter_file.stat().st_size,
            recipe=_recipe(demo),
        )
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

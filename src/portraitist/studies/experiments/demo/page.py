"""The demo as one HTML page that needs nothing beside it."""

from typing import Any

from portraitist.studies.experiments.demo.demo import SEEDS, Demo
from portraitist.studies.pages.rendering import template_environment
from portraitist.units import in_bytes, in_time


def headline(demo: Demo) -> str:
    """Return the demo's title: ``One person, one cat, five photos of each, 24 new pictures``."""
    photos = len(demo.lessons[0].subject.photos)
    new = sum(len(comparison.after) for lesson in demo.lessons for comparison in lesson.comparisons)
    who = ", ".join(f"one {lesson.noun}" for lesson in demo.lessons)
    each = " of each" if len(demo.lessons) > 1 else ""
    return f"{who.capitalize()}, {photos} photos{each}, {new} new pictures"


def summary(demo: Demo) -> str:
    """Return what happened, in two sentences."""
    learnt = " and ".join(f"“{lesson.trigger}”" for lesson in demo.lessons)
    times = " and ".join(in_time(lesson.training_seconds) for lesson in demo.lessons)
    sizes = " and ".join(dict.fromkeys(in_bytes(lesson.size) for lesson in demo.lessons))
    files = f"files of {sizes}" if len(demo.lessons) > 1 else f"a file of {sizes}"
    mean = "mean" if len(demo.lessons) > 1 else "means"
    return (
        f"{demo.base_name} learnt what {learnt} {mean} in {times}. What it learnt is {files}."
        " No photo shows a place that is asked for below."
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

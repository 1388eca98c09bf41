"""Adapters by training, with a method's recipe."""

from collections.abc import Mapping, Sequence
from typing import Any

from portraitist.bases import Base
from portraitist.studies.makers.maker import Made
from portraitist.training.loop.loop import Callback
from portraitist.training.personalise import train
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.subjects import Subject


class Training:
    """Trains an adapter on the subject's photos."""

    def resolve(self, method: str, base: Base, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return the method's recipe for the base with the study's settings."""
        recipe = load_recipe(method, base.name, base.family.name, overrides=dict(overrides))
        return recipe.model_dump(mode="json")

    def make(self, base: Base, subject: Subject, settings: Mapping[str, Any], callbacks: Sequence[Callback]) -> Made:
        """Train; the seconds are those of training steps."""
        adapter = train(base, subject, Recipe.model_validate(dict(settings)), callbacks=callbacks)
        return Made(adapter, float(adapter.provenance.training["seconds"]))

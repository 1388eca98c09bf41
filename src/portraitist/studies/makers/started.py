"""Adapters by training that starts from a prediction: what a hypernetwork is worth as a start (`train --start`)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pydantic import Field

from portraitist.adapters import Provenance
from portraitist.adapters.spec import Kind
from portraitist.bases import Base
from portraitist.hypernetworks.saved import load_hypernetwork
from portraitist.studies.makers.maker import Made
from portraitist.studies.makers.predictions import PredictionSettings, look_before, predict
from portraitist.training.loop.loop import Callback
from portraitist.training.networks.settings import build_settings
from portraitist.training.personalise import train
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.subjects import Subject

_TOKEN = "textual-inversion"


class StartedSettings(PredictionSettings):
    """Where training starts, and how it goes on.

    Attributes:
        recipe: All settings of the training: the recipe of the prediction's own method on its layers; found out.
        steps: Its steps; found out.
    """

    recipe: dict[str, Any] = Field(default_factory=dict)
    steps: int = 0


class Started:
    """Trains with the usual recipe of what a network predicts; ``seen: nothing`` starts as that recipe always does."""

    def resolve(self, method: str, base: Base, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return where training starts and the recipe; settings that say nothing of a start are the recipe's."""
        of_start = {name: value for name, value in overrides.items() if name in PredictionSettings.model_fields}
        found = build_settings(StartedSettings, {"method": method, **of_start}, method).found(base)
        predictor = load_hypernetwork(found["hypernetwork"]).predictor
        blank = predictor.adapter(torch.zeros(predictor.numbers), Provenance({})).adapter
        config = blank.method.plain_config(blank.config)
        if _TOKEN in config:  # the word starts as itself, as where it is predicted
            config[_TOKEN] = {"token_ids": "{token}", "initial_ids": "{token}"}
        layers = [name for name, spec in blank.space.specs.items() if spec.kind is not Kind.EMBEDDING]
        changes = {
            "method_config": config,
            "layers": [*(["token-embedding"] if _TOKEN in config else []), *layers],
            **{name: value for name, value in overrides.items() if name not in of_start or name == "seed"},
        }
        recipe = load_recipe(blank.method.name, base.name, base.family.name, None, changes)
        return {**found, "recipe": recipe.model_dump(mode="json"), "steps": recipe.steps}

    def make(self, base: Base, subject: Subject, settings: Mapping[str, Any], callbacks: Sequence[Callback]) -> Made:
        """Train; the seconds are those of training steps."""
        wanted = StartedSettings.model_validate(dict(settings))
        start = None if wanted.seen == "nothing" else predict(base, subject, wanted)
        if start is not None:
            look_before(base, start, tuple(callbacks))
        adapter = train(base, subject, Recipe.model_validate(wanted.recipe), start=start, callbacks=callbacks)
        return Made(adapter, float(adapter.provenance.training["seconds"]))

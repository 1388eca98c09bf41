"""Adapters in one pass of a hypernetwork, and where steps are asked for trained on, rank-relaxed (arXiv 2307.06949)."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from portraitist.adapters import Adapter
from portraitist.bases import Base
from portraitist.hypernetworks.description import read_description
from portraitist.hypernetworks.refining import refine, refinement_recipe
from portraitist.hypernetworks.saved import locate
from portraitist.hypernetworks.settings import RefinementSettings
from portraitist.studies.makers.maker import Made
from portraitist.studies.makers.predictions import PredictionSettings, look_before, measured, predict
from portraitist.training.loop.loop import Callback
from portraitist.training.networks.settings import build_settings
from portraitist.training.personalise import train
from portraitist.training.subjects import Subject


class InstantSettings(PredictionSettings):
    """A prediction and what follows it.

    Attributes:
        steps: Steps of training on; with ``seen: nothing`` what is trained stands alone.
        refinement: Settings of that other than the network's own.
    """

    steps: int = 0
    refinement: dict[str, Any] = Field(default_factory=dict)


class Instant:
    """Predicts an adapter from the subject's photos."""

    def resolve(self, method: str, base: Base, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings with the hashes of network and set, and all of the refinement's."""
        settings = build_settings(InstantSettings, {"method": method, **overrides}, method)
        found = settings.found(base)
        own = read_description(locate(found["hypernetwork"])).recipe.refinement.model_dump(mode="json")
        refinement = build_settings(RefinementSettings, {**own, **settings.refinement}, f"{method}: refinement")
        return {**found, "refinement": refinement.model_dump(mode="json") if settings.steps else {}}

    def make(self, base: Base, subject: Subject, settings: Mapping[str, Any], callbacks: Sequence[Callback]) -> Made:
        """Predict, and train on; the seconds are those of both, the network loaded."""
        wanted = InstantSettings.model_validate(dict(settings))
        predict(base, subject, wanted.model_copy(update={"seen": "own"}))  # what is loaded once is not counted
        began = time.perf_counter()
        prediction = predict(base, subject, wanted)
        seconds = time.perf_counter() - began
        measures = measured(base, subject, wanted)
        if not wanted.steps:
            return Made(prediction, seconds, measures)
        refinement = RefinementSettings.model_validate(wanted.refinement)
        if wanted.seen == "nothing":
            recipe = refinement_recipe(base, prediction, refinement, wanted.steps)
            alone = train(base, subject, recipe, callbacks=callbacks)
            return Made(alone, _trained(alone))
        look_before(base, prediction, tuple(callbacks))
        refined = refine(base, prediction, subject, refinement, wanted.steps, callbacks)
        return Made(refined, seconds + _trained(refined), measures)


def _trained(adapter: Adapter) -> float:
    return float(adapter.provenance.training["seconds"])

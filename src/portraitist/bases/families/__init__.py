"""Families of base models, one file each: how they read prompts, noise pictures and predict."""

from portraitist.bases.families.family import Conditions, Family, Framing, needs_upcast, upcast
from portraitist.bases.families.flux import Flux
from portraitist.bases.families.stable_diffusion import StableDiffusion
from portraitist.bases.families.stable_diffusion_xl import StableDiffusionXL
from portraitist.errors import BadConfig

FAMILIES: tuple[type[Family], ...] = (StableDiffusion, StableDiffusionXL, Flux)

__all__ = [
    "FAMILIES",
    "Conditions",
    "Family",
    "Flux",
    "Framing",
    "StableDiffusion",
    "StableDiffusionXL",
    "find_family",
    "needs_upcast",
    "upcast",
]


def find_family(pipeline_class: str, name: str) -> type[Family]:
    """Return the family that covers a pipeline class of diffusers.

    Raises:
        BadConfig: If none does; says what `name` is and which classes are covered.
    """
    for family in FAMILIES:
        if pipeline_class in family.pipelines:
            return family
    covered = ", ".join(pipeline for family in FAMILIES for pipeline in family.pipelines)
    raise BadConfig(f"{name} is a {pipeline_class}, which is not supported yet; supported: {covered}")

"""Families of base models, one file each: how they read prompts, noise pictures and predict."""

from portraitist.bases.families.family import Conditions, Family, Framing
from portraitist.bases.families.flux import Flux
from portraitist.bases.families.stable_diffusion import StableDiffusion
from portraitist.bases.families.stable_diffusion_xl import StableDiffusionXL

FAMILIES: tuple[type[Family], ...] = (StableDiffusion, StableDiffusionXL, Flux)

__all__ = ["FAMILIES", "Conditions", "Family", "Flux", "Framing", "StableDiffusion", "StableDiffusionXL"]

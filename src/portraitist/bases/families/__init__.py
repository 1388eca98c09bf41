"""Families of base models, one file each: how they read prompts, noise pictures and predict."""

from portraitist.bases.families.family import Conditions, Family
from portraitist.bases.families.stable_diffusion import StableDiffusion

FAMILIES: tuple[type[Family], ...] = (StableDiffusion,)

__all__ = ["FAMILIES", "Conditions", "Family", "StableDiffusion"]

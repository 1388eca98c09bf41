"""Prompts to pictures: sampling with adapters, metadata in the files, contact sheets."""

from portraitist.generation.regions import Region
from portraitist.generation.sampling import Picture, SamplingConfig, generate
from portraitist.generation.sheets import SheetRow, contact_sheet

__all__ = ["Picture", "Region", "SamplingConfig", "SheetRow", "contact_sheet", "generate"]

"""Prompts to pictures: sampling with adapters, metadata in the files, contact sheets."""

from portraitist.generation.compatibility import check_base, prompt_warning
from portraitist.generation.sampling import Picture, SamplingConfig, generate
from portraitist.generation.sheets import Row, contact_sheet

__all__ = ["Picture", "Row", "SamplingConfig", "check_base", "contact_sheet", "generate", "prompt_warning"]

"""Prompts to pictures: sampling with adapters, metadata in the files, contact sheets; adapters joined with bases."""

from portraitist.generation.compatibility import base_warning, check_base, prompt_warning
from portraitist.generation.conversion import convert, merge_adapters
from portraitist.generation.loading import find_base, load_base_of, load_for
from portraitist.generation.merging import merge_into_base
from portraitist.generation.regions import Region
from portraitist.generation.sampling import Picture, SamplingConfig, generate
from portraitist.generation.sheets import SheetRow, contact_sheet

__all__ = [
    "Picture",
    "Region",
    "SamplingConfig",
    "SheetRow",
    "base_warning",
    "check_base",
    "contact_sheet",
    "convert",
    "find_base",
    "generate",
    "load_base_of",
    "load_for",
    "merge_adapters",
    "merge_into_base",
    "prompt_warning",
]

"""Architectures by the names that people have for them. Needs no torch."""

import re
from pathlib import Path

_NAMES = {
    "sd1": "sd15",
    "sd14": "sd15",
    "sd15": "sd15",
    "sd2": "sd21",
    "sd21": "sd21",
    "sd21768": "sd21-768",
    "sdxl": "sdxl",
    "sdxl10": "sdxl",
    "xl": "sdxl",
    "flux": "flux",
    "flux1": "flux",
    "flux1dev": "flux",
}


def architecture_name(name: str) -> str:
    """Return the architecture that a spelling means (``SDXL``, ``sd-1.5``, ``Stable Diffusion XL``); others stay.

    What lies at a path of this name goes first.
    """
    if Path(name).exists():
        return name
    plain = re.sub(r"[^a-z0-9]", "", name.lower()).replace("stablediffusion", "sd")
    return _NAMES.get(plain, name)

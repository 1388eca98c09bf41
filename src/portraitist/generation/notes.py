"""What a PNG carries about how it was made: our own facts, and a line that other programs read.

Prompts stand under the key ``portraitist``, with everything else of ours, and under ``parameters`` as A1111 writes
them. ``prompt`` is ComfyUI's, which expects a graph there; earlier versions of this package put words there.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

_OWN, _PARAMETERS, _FORMER = "portraitist", "parameters", "prompt"
# Our sampling schedules by the names that A1111 has for them.
_SAMPLERS = {"dpm": "DPM++ 2M", "ddim": "DDIM", "euler": "Euler"}


def png_notes(prompt: str, facts: Mapping[str, Any], parameters: str | None = None) -> PngInfo:
    """Return the notes of a picture.

    Args:
        prompt: What it shows.
        facts: Everything else that made it, JSON-able.
        parameters: The same for other programs, as `parameters_line` has it.
    """
    info = PngInfo()
    if parameters is not None:
        info.add_itxt(_PARAMETERS, parameters)
    info.add_itxt(_OWN, json.dumps({"prompt": prompt, **facts}))
    return info


def is_generated(path: Path) -> bool:
    """Say whether a picture is one that this package generated, by the notes in its file."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return _OWN in image.info
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def parameters_line(prompt: str, facts: Mapping[str, Any], size: tuple[int, int]) -> str:
    """Return what A1111 writes under ``parameters``, and other programs read."""
    lines = [prompt]
    if facts.get("negative_prompt"):
        lines.append(f"Negative prompt: {facts['negative_prompt']}")
    values = {
        "Steps": facts.get("steps"),
        "Sampler": _SAMPLERS.get(str(facts.get("scheduler")), facts.get("scheduler")),
        "CFG scale": facts.get("guidance"),
        "Seed": facts.get("seed"),
        "Size": f"{size[0]}x{size[1]}",
        "Model": Path(str(facts.get("base"))).name,
        "Version": "portraitist",
    }
    return "\n".join([*lines, ", ".join(f"{name}: {value}" for name, value in values.items() if value is not None)])


def noted_prompt(path: Path) -> str:
    """Return the prompt that a PNG carries, ours or A1111's; empty if it has none, or is no PNG."""
    if path.suffix.lower() != ".png":
        return ""
    with Image.open(path, formats=["PNG"]) as image:
        image.load()
        texts: Mapping[str, str] = getattr(image, "text", {})
    try:
        own = json.loads(texts.get(_OWN, "{}"))
    except ValueError:
        own = {}
    if isinstance(own, dict) and "prompt" in own:
        return str(own["prompt"])
    if _OWN in texts:
        return texts.get(_FORMER, "")
    return texts.get(_PARAMETERS, "").partition("\nNegative prompt: ")[0].partition("\nSteps: ")[0]

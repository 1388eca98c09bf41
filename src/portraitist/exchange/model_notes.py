"""What a LoRA's file tells other programs about itself, so that they can sort and label it.

``ss_base_model_version`` is sd-scripts' name of the base, by which ComfyUI's and A1111's managers filter;
``modelspec.*`` is Stability AI's model metadata standard 1.0.0, which A1111, Forge, InvokeAI and model sites read.
"""

import re

from portraitist.adapters.adapter import Adapter

# Names of bases in sd-scripts and in the standard; Stable Diffusion 1 and 2 by the width of their conditions.
_SD = {768: ("sd_v1", "stable-diffusion-v1"), 1024: ("sd_v2", "stable-diffusion-v2-512")}
_OTHERS = {"sdxl": ("sdxl_base_v1-0", "stable-diffusion-xl-v1-base"), "flux": ("flux1", "flux-1-dev")}
_OWN_SIDE = {"sd_v1": 512, "sd_v2": 512, "sdxl_base_v1-0": 1024, "flux1": 1024}
_CROSS_ATTENTION = re.compile(r"unet\..*\.attn2\.to_[kv]")


def model_notes(adapter: Adapter) -> dict[str, str]:
    """Return the metadata of a LoRA's file; of a base that no other program knows, only what is true of any."""
    provenance = adapter.provenance
    notes = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.implementation": "diffusers",
        "modelspec.title": provenance.trigger or "LoRA",
    }
    if provenance.trigger:
        notes["modelspec.trigger_phrase"] = provenance.trigger
    names = _base_names(adapter)
    if names is not None:
        version, architecture = names
        notes |= {"ss_base_model_version": version, "modelspec.architecture": f"{architecture}/lora"}
    side = provenance.base.resolution if provenance.base is not None else None
    side = side or (_OWN_SIDE[names[0]] if names is not None else None)
    if side is not None:
        notes["modelspec.resolution"] = f"{side}x{side}"
    return notes


def _base_names(adapter: Adapter) -> tuple[str, str] | None:
    """Return what sd-scripts and the standard call the base; None if they have no name for it."""
    base = adapter.provenance.base
    if base is not None and base.family in _OTHERS:
        return _OTHERS[base.family]
    specs = adapter.space.specs.items()
    width = next((spec.shape[1] for name, spec in specs if _CROSS_ATTENTION.fullmatch(name)), None)
    if base is not None and base.family == "sd" and width is not None:
        return _SD.get(width)
    return None

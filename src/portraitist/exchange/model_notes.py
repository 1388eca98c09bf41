"""What an adapter's file tells other programs about itself, so that they can sort and label it.

``ss_*`` are sd-scripts' notes on a network: ``ss_base_model_version``, its name of the base, by which ComfyUI's and
A1111's managers filter, ``ss_v2``, by which A1111 knows Stable Diffusion 2, and module, rank, alpha and arguments.
``modelspec.*`` is Stability AI's model metadata standard 1.0.1, which A1111, Forge, InvokeAI and model sites read. A
file that names its version must name the architecture too.
"""

import json
import re
from collections.abc import Mapping

from portraitist.adapters.adapter import Adapter

# Names of bases in sd-scripts and in the standard; Stable Diffusion 1 and 2 by the width of their conditions.
_SD = {768: ("sd_v1", "stable-diffusion-v1"), 1024: ("sd_v2", "stable-diffusion-v2-512")}
_OTHERS = {"sdxl": ("sdxl_base_v1-0", "stable-diffusion-xl-v1-base"), "flux": ("flux1", "flux-1-dev")}
_OWN_SIDE = {"sd_v1": 512, "sd_v2": 512, "sdxl_base_v1-0": 1024, "flux1": 1024}
_STANDARD = "1.0.1"
# Whose names the tensors have.
DIFFUSERS, BLACK_FOREST_LABS = "diffusers", "https://github.com/black-forest-labs/flux"
_CROSS_ATTENTION = re.compile(r"unet\..*\.attn2\.to_[kv]")


def network_notes(
    module: str, rank: int | None, alpha: float, arguments: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return what sd-scripts notes of a network.

    Args:
        module: The Python module that it would be trained by.
        rank: Rank; None for networks without.
        alpha: Alpha.
        arguments: Further arguments of the module.
    """
    return {
        "ss_network_module": module,
        **({} if rank is None else {"ss_network_dim": str(rank)}),
        "ss_network_alpha": str(alpha),
        "ss_network_args": json.dumps(dict(arguments or {})),
    }


def model_notes(adapter: Adapter, implementation: str = DIFFUSERS) -> dict[str, str]:
    """Return the metadata of an adapter's file; of a base that no other program knows, only what is true of any.

    Args:
        adapter: The adapter.
        implementation: Whose names its tensors have.
    """
    provenance = adapter.provenance
    notes = {"modelspec.title": provenance.trigger or "LoRA"}
    if provenance.trigger:
        notes["modelspec.trigger_phrase"] = provenance.trigger
    names = _base_names(adapter)
    if names is not None:
        version, architecture = names
        notes |= {
            "ss_base_model_version": version,
            "ss_v2": str(version.startswith("sd_v2")),
            "modelspec.sai_model_spec": _STANDARD,
            "modelspec.architecture": f"{architecture}/lora",
            "modelspec.implementation": implementation,
        }
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

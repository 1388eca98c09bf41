"""A base model: a diffusers pipeline, its family and its fingerprint."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from safetensors import SafetensorError
from torch import nn

from portraitist.bases.families import FAMILIES, Family
from portraitist.errors import BadConfig

BUILTIN = ("toyland",)
_SAMPLES_PER_TENSOR = 16


@dataclass(frozen=True)
class Base:
    """A base model ready for use.

    Attributes:
        name: What the user asked for: a built-in name, a folder or a hub id.
        family: How the model is spoken to; holds the pipeline.
    """

    name: str
    family: Family

    @property
    def pipeline(self) -> Any:
        """Return the diffusers pipeline."""
        return self.family.pipeline

    @property
    def components(self) -> dict[str, nn.Module]:
        """Return the modules adapters may change."""
        return self.family.components

    @property
    def device(self) -> torch.device:
        """Return where the denoiser is."""
        return next(self.family.denoiser.parameters()).device

    @property
    def is_builtin(self) -> bool:
        """Say whether the base ships with the package."""
        return self.name in BUILTIN

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash over tensor names, shapes and sampled values, the same in any precision of storage."""
        return fingerprint(self.components)


def load_base(name: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Base:
    """Load a base model.

    Args:
        name: A built-in name (``toyland``), a folder in the diffusers layout, or an id on the Hugging Face hub.
        device: Where to put it.
        dtype: Precision of its weights.

    Raises:
        BadConfig: If there is no such model, it is damaged, or its family is not known.
    """
    source = (
        str(files("portraitist.bases").joinpath("builtin").joinpath(str(name))) if str(name) in BUILTIN else str(name)
    )
    class_name = _pipeline_class(source)
    for family in FAMILIES:
        if class_name in family.pipelines:
            break
    else:
        covered = ", ".join(pipeline for family in FAMILIES for pipeline in family.pipelines)
        raise BadConfig(f"{name} is a {class_name}, which is not supported yet; supported: {covered}")
    arguments: dict[str, Any] = {"safety_checker": None} if "safety_checker" in _index(source) else {}
    try:
        pipeline = DiffusionPipeline.from_pretrained(source, torch_dtype=dtype, **arguments)
    except (OSError, ValueError, SafetensorError) as error:
        raise BadConfig(f"base {str(name)!r} is incomplete or damaged ({error}); get it again") from error
    pipeline = pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    for component in pipeline.components.values():
        if isinstance(component, nn.Module):
            component.eval().requires_grad_(False)
    return Base(str(name), family(pipeline))


def _pipeline_class(source: str) -> str:
    name = _index(source).get("_class_name")
    if not isinstance(name, str):
        raise BadConfig(f"{source}: model_index.json does not name a pipeline class")
    return name


def _index(source: str) -> dict[str, Any]:
    """Read ``model_index.json`` of a folder, or of a hub repository."""
    folder = Path(source)
    try:
        if folder.exists():
            path = folder / "model_index.json"
        else:
            from huggingface_hub import hf_hub_download

            path = Path(hf_hub_download(source, "model_index.json"))
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        if folder.parent.name == "builtin":
            raise BadConfig(
                f"this build of the package has no finished {folder.name}; make it with `portraitist {folder.name}"
                " train` and give the folder `pipeline` it writes as base"
            ) from error
        looked = "has no readable model_index.json" if folder.exists() else "is no folder here and not on the hub"
        raise BadConfig(
            f"base {source!r} {looked} ({type(error).__name__}); give {', '.join(BUILTIN)}, a diffusers folder, or a"
            " hub id that `huggingface-cli download` has fetched"
        ) from error
    return content if isinstance(content, dict) else {}


def fingerprint(components: dict[str, nn.Module]) -> str:
    """Hash the names, shapes and some values of all weights to 16 hexadecimal digits.

    Values are rounded to three significant digits, so that float32, float16 and bfloat16 copies agree nearly always
    and different fine-tunes do not.
    """
    digest = hashlib.blake2b(digest_size=8)
    for component, module in sorted(components.items()):
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{component}.{name}{tuple(tensor.shape)}".encode())
            if tensor.is_floating_point() and tensor.numel():
                flat = tensor.detach().flatten()
                positions = torch.linspace(0, flat.numel() - 1, min(_SAMPLES_PER_TENSOR, flat.numel())).long()
                values = flat[positions.to(flat.device)].half().float().tolist()
                digest.update(" ".join(f"{value:.2e}" for value in values).encode())
    return digest.hexdigest()

"""A base model: a diffusers pipeline, its family and its fingerprint."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from portraitist.allocation import reuse_freed_memory
from portraitist.bases.families import Family, find_family
from portraitist.bases.fingerprint import fingerprint
from portraitist.bases.folders import load_folder
from portraitist.bases.hub import complete
from portraitist.bases.pipelines import Pipeline
from portraitist.bases.quantisation import check_bits, quantise
from portraitist.bases.single_file import load_single_file
from portraitist.bases.sources import BUILTIN, Fetch, Source, find_source, read_index
from portraitist.errors import BadConfig
from portraitist.progress import quietly

# Guidance of the models that ship with the package, as their exams chose it; others have their family's usual one.
_GUIDANCE = {"toyland": 4.0}
HALVES = (torch.float16, torch.bfloat16)
# Precisions of weights whose range can be looked at.
_NUMBERS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Base:
    """A base model ready for use.

    Attributes:
        name: What the user asked for: a built-in name, a folder, a checkpoint or a hub id.
        family: How the model is spoken to; holds the pipeline.
        bits: Bits of the denoiser's linear weights, if fewer than they were stored in.
        revision: The commit of a hub model.
    """

    name: str
    family: Family
    bits: int | None = None
    revision: str | None = None

    @property
    def pipeline(self) -> Pipeline:
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
    def precision(self) -> str:
        """Return the precision of the denoiser's weights, e.g. ``float16``."""
        return str(self.family.dtype).removeprefix("torch.")

    @property
    def guidance(self) -> float:
        """Return the usual weight of guidance when pictures are sampled."""
        return _GUIDANCE.get(self.name, self.family.guidance)

    @property
    def is_builtin(self) -> bool:
        """Say whether the base ships with the package."""
        return self.name in BUILTIN

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash over tensor names, shapes and sampled values; see `portraitist.bases.fingerprint`."""
        return fingerprint(self.components)


def load_base(
    name: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    bits: int | None = None,
    resolution: int | None = None,
) -> Base:
    """Load a base model. Of hub models what is not in the cache is fetched; no pickle is opened.

    Args:
        name: A built-in name (``toyland``), a folder in the diffusers layout, a single-file ``.safetensors`` checkpoint
            of Stable Diffusion 1.x, 2.x or XL (behind an ``@`` the architecture or a folder of configurations, where
            the file does not tell), or an id on the Hugging Face hub with or without ``@revision``.
        device: Where to put it.
        dtype: Precision of its weights; float32 when not given.
        bits: 8 or 4 puts the linear weights of its denoiser into so many bits before it goes to the device.
        resolution: Side of the pictures to train on and to make; the one it was trained on when not given.

    Raises:
        BadConfig: If there is no such model, it is damaged, or its family is not known or cannot work at a resolution.
        MissingExtra: If fewer bits need a library that is not installed.
    """
    check_bits(bits)
    if torch.device(device).type == "cpu":
        reuse_freed_memory()
    fetch = partial(complete, half=dtype in HALVES)
    source = find_source(str(name), fetch)
    with quietly():
        pipeline, family = _load_pipeline(source, dtype or torch.float32, str(name), fetch)
    _require_finite(pipeline, str(name), source)
    base = Base(str(name), family(pipeline), bits, source.revision)
    if resolution is not None:
        base.family.choose_resolution(resolution)
    if bits is not None:
        _ = base.fingerprint  # kept from here on: it is that of the weights as stored
        quantise(base.family.denoiser, bits, device)
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    for component in pipeline.components.values():
        if isinstance(component, nn.Module):
            component.eval().requires_grad_(False)
    return base


def _load_pipeline(source: Source, dtype: torch.dtype, name: str, fetch: Fetch) -> tuple[Pipeline, type[Family]]:
    """Load a pipeline and tell its family; diffusers and transformers are imported when one is loaded, no sooner."""
    if source.is_single_file:
        with _without_bars():
            pipeline = load_single_file(source.path, source.detail, dtype, fetch)
        return pipeline, find_family(type(pipeline).__name__, name)
    index = read_index(source)
    family = find_family(index["_class_name"], name)
    with _without_bars():
        return load_folder(source, index, dtype, name), family


def _require_finite(pipeline: Any, name: str, source: Source) -> None:
    """Refuse weights that are not finite numbers: nothing could be made with them, or learnt.

    Raises:
        BadConfig: If there are such.
    """
    for part, module in pipeline.components.items():
        for key, value in module.state_dict().items() if isinstance(module, nn.Module) else ():
            if value.dtype not in _NUMBERS or not value.numel():
                continue
            if not all(bool(torch.isfinite(end)) for end in torch.aminmax(value)):
                raise BadConfig(f"base {name!r} is damaged: {key} of its {part} is not finite; {source.advice}")


@contextmanager
def _without_bars() -> Iterator[None]:
    """Hide the progress bars of the libraries that load."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    shown: list[Any] = [each for each in (of_diffusers, of_transformers) if each.is_progress_bar_enabled()]
    for each in shown:
        each.disable_progress_bar()
    try:
        yield
    finally:
        for each in shown:
            each.enable_progress_bar()

"""Who draws variations of a photo: the base from the photo's pixels, or with an IP-Adapter from its look alone.

DiffLoRA varies faces with PhotoMaker (arXiv 2408.06740). diffusers has no pipeline of PhotoMaker's, and code that comes
with weights is not run here; IP-Adapter (arXiv 2308.06721), which diffusers has, also draws somebody from one photo in
any scene. Image-to-image needs nothing but the base, and stays nearer to the photo's pose and light.
"""

import copy
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from diffusers import AutoPipelineForImage2Image
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.files import sha256
from portraitist.progress import quietly

_ENCODER = "image_encoder"
_PARTS = ("image_proj", "ip_adapter")
_DIGITS = 16


class VariationPainter(Protocol):
    """Draws variations of photos."""

    @property
    def name(self) -> str:
        """What it is known by: which weights it has above the base's."""

    def draw(self, photo: Image.Image, prompt: str, seed: int) -> Image.Image:
        """Draw who is on a photo as a prompt says; RGB, of the base's own size."""


class ImageToImage:
    """The base's image-to-image pipeline.

    Args:
        base: The base; it is left as found.
        strength: How far from the photo drawing starts, 0 to 1.

    Raises:
        BadConfig: If diffusers has no such pipeline for the base.
    """

    name = ""

    def __init__(self, base: Base, strength: float) -> None:
        self.base, self.strength = base, strength
        try:
            self._pipeline: Any = AutoPipelineForImage2Image.from_pipe(base.pipeline)
        except ValueError as error:
            raise BadConfig(
                f"diffusers has no image-to-image pipeline for {base.name}, which would draw variations; leave out"
                " --vary"
            ) from error
        self._pipeline.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def draw(self, photo: Image.Image, prompt: str, seed: int) -> Image.Image:
        """Draw from the photo with noise on it."""
        made = self._pipeline(
            prompt=prompt,
            image=photo,
            strength=self.strength,
            guidance_scale=self.base.guidance,
            generator=torch.Generator().manual_seed(seed),
        )
        return made.images[0].convert("RGB")


class IpAdapter:
    """The base with an IP-Adapter, on a copy of its denoiser, which the adapter changes.

    Args:
        base: The base; it is left as found, and its denoiser is in memory twice.
        source: The adapter's ``.safetensors``; behind an ``@`` the folder of its image encoder, ``image_encoder``
            beside it when not given.
        strength: How far variations may go from the photo, 0 to 1: one less the adapter's scale.

    Raises:
        BadConfig: If a file is missing, or does not belong to the base or the encoder.
    """

    def __init__(self, base: Base, source: str, strength: float) -> None:
        self.base, self.strength = base, strength
        self.file, self.encoder = find_ip_adapter(source)
        if "unet" not in base.components or not hasattr(base.pipeline, "load_ip_adapter"):
            raise BadConfig(f"{base.name} cannot use an IP-Adapter; leave out --vary-with")
        _ = self._pipeline

    @property
    def name(self) -> str:
        """Return the file with a hash of it."""
        return f"{self.file.name} {sha256(self.file)[:_DIGITS]}"

    @torch.no_grad()
    def draw(self, photo: Image.Image, prompt: str, seed: int) -> Image.Image:
        """Draw from noise, with what the image encoder says of the photo beside the prompt."""
        side = self.base.family.resolution
        made = self._pipeline(
            prompt=prompt,
            ip_adapter_image=photo,
            height=side,
            width=side,
            guidance_scale=self.base.guidance,
            generator=torch.Generator().manual_seed(seed),
        )
        return made.images[0].convert("RGB")

    @cached_property
    def _pipeline(self) -> Any:
        base = self.base
        try:
            tensors = load_file(self.file)
            parts: dict[str, dict[str, torch.Tensor]] = {part: {} for part in _PARTS}
            for key, value in tensors.items():
                part, _, name = key.partition(".")
                parts[part][name] = value
            with quietly():
                encoder = CLIPVisionModelWithProjection.from_pretrained(
                    self.encoder, local_files_only=True, use_safetensors=True
                ).to(base.device, base.family.dtype)
                size = encoder.config.image_size
                pipeline: Any = type(base.pipeline).from_pipe(  # type: ignore[attr-defined]
                    base.pipeline,
                    unet=copy.deepcopy(base.components["unet"]),
                    image_encoder=encoder,
                    feature_extractor=CLIPImageProcessor(size=size, crop_size=size),
                    torch_dtype=base.family.dtype,
                )
                pipeline.load_ip_adapter(parts, subfolder="", weight_name="")
        except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
            said = " ".join(str(error).split())[:200]
            raise BadConfig(
                f"{self.file} with the image encoder {self.encoder} is not an IP-Adapter for {base.name} ({said})"
            ) from error
        pipeline.set_ip_adapter_scale(1 - self.strength)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def find_ip_adapter(source: str) -> tuple[Path, Path]:
    """Return the file of an IP-Adapter and the folder of its image encoder.

    Raises:
        BadConfig: If one of them is not there.
    """
    first, _, second = source.partition("@")
    file = Path(first)
    folder = Path(second) if second else file.parent / _ENCODER
    if file.suffix != ".safetensors" or not file.is_file():
        raise BadConfig(f"{file} is not an IP-Adapter; give its .safetensors, such as ip-adapter_sd15.safetensors")
    if not folder.is_dir():
        raise BadConfig(f"the IP-Adapter {file} needs its image encoder in {folder}; name another with {file}@FOLDER")
    return file, folder


def choose_painter(base: Base, strength: float, ip_adapter: str | None) -> VariationPainter:
    """Return who draws variations."""
    return ImageToImage(base, strength) if ip_adapter is None else IpAdapter(base, ip_adapter, strength)

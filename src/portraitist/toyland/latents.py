"""Fifth stage: every picture encoded once, and captions as tokens: what the denoiser is trained on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor

from portraitist.files import write_aside
from portraitist.progress import track
from portraitist.toyland.pictures import Pictures, as_floats


@dataclass(frozen=True)
class Encoded:
    """Pictures as latents, with their captions.

    Attributes:
        latents: Scaled posterior means, float16 ``[n, channels, h, w]``.
        token_ids: Captions of each, int16 ``[n, captions, tokens]``.
    """

    latents: Tensor
    token_ids: Tensor

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        with write_aside(path) as temporary:
            save_file({"latents": self.latents.cpu(), "token_ids": self.token_ids.cpu()}, temporary)

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> "Encoded":
        """Read what `save` wrote."""
        stored = load_file(path, device=device)
        return cls(stored["latents"], stored["token_ids"])


@torch.no_grad()
def encode_pictures(
    model: AutoencoderKL, pictures: Pictures, precision: str = "no", batch_size: int = 16, most: int | None = None
) -> Tensor:
    """Encode pictures to their posteriors' means, float16 ``[n, c, h, w]`` on the model's device, not scaled.

    Args:
        model: The autoencoder.
        pictures: What is encoded.
        precision: ``bf16`` computes in it.
        batch_size: Pictures at once; does not change the result.
        most: Only so many, the first ones.
    """
    means = []
    count = min(len(pictures), most or len(pictures))
    with track(count, "encoding pictures") as progress:
        for start in range(0, count, batch_size):
            chosen = np.arange(start, min(start + batch_size, count))
            pixels = as_floats(pictures.whole(chosen))
            with torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16"):
                posterior = model.encode(pixels).latent_dist
            means.append(posterior.mean.half())
            progress.advance(len(chosen))
    return torch.cat(means).contiguous()


def unit_scale(latents: Tensor) -> float:
    """Return the factor that gives latents a standard deviation of one, as Stable Diffusion's ``scaling_factor``."""
    return round(float(1 / latents.float().std()), 5)

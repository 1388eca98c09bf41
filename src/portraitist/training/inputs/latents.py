"""Pictures as the denoiser sees them: encoded once, kept on disk under a hash of pixels and autoencoder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from portraitist.bases import Base
from portraitist.bases.cards import Card
from portraitist.bases.families import Framing
from portraitist.bases.fingerprint import fingerprint
from portraitist.bases.transfers import sent
from portraitist.cache import cached, content_key
from portraitist.training.inputs.views import View

# Share of the free memory of a GPU that latents may take there. Our choice; a hundred at 1024 x 1024 are 50 MB.
_NEAR = 0.05


@dataclass(frozen=True)
class Latents:
    """Encoded pictures of one size.

    Attributes:
        mean: Posterior means ``[n, c, h, w]`` in float32.
        deviation: Their standard deviations.
        framings: How each picture was cut.
        prompts: One a picture; empty where all have the task's.
        weights: How much each place counts in the loss, ``[n, 1, h, w]``, with a mean of one over all views of a
            subject, so that a view without the subject counts little; None: all the same.
    """

    mean: Tensor
    deviation: Tensor
    framings: tuple[Framing, ...]
    prompts: tuple[str, ...] = ()
    weights: Tensor | None = None

    def draw(self, indices: np.ndarray, generator: torch.Generator) -> Tensor:
        """Sample the latents of some pictures."""
        rows = sent(torch.from_numpy(indices), self.mean.device)
        mean, deviation = self.mean[rows], self.deviation[rows]
        return mean + deviation * sent(torch.randn(mean.shape, generator=generator), mean.device)

    def chosen_weights(self, indices: np.ndarray) -> Tensor | None:
        """Return how much each place of some pictures counts; None: all the same."""
        return None if self.weights is None else self.weights[sent(torch.from_numpy(indices), self.weights.device)]

    def to(self, device: torch.device) -> "Latents":
        """Return them on a device."""
        weights = None if self.weights is None else self.weights.to(device)
        return replace(self, mean=self.mean.to(device), deviation=self.deviation.to(device), weights=weights)

    @property
    def size(self) -> int:
        """Return their bytes."""
        tensors = [self.mean, self.deviation, *([] if self.weights is None else [self.weights])]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def digest(self) -> str:
        """Return a hash of everything a run takes from them."""
        tensors = [self.mean, self.deviation, *([] if self.weights is None else [self.weights])]
        return content_key(repr((self.framings, self.prompts)), *(tensor.cpu().numpy().tobytes() for tensor in tensors))

    def __len__(self) -> int:
        return len(self.mean)


def near(buckets: Sequence[Latents], device: torch.device) -> list[Latents]:
    """Return latents on a GPU that has room for all of them beside what a step takes; otherwise as they are."""
    buckets = list(buckets)
    if Card.of(device) is None or sum(bucket.size for bucket in buckets) > _NEAR * torch.cuda.mem_get_info(device)[0]:
        return buckets
    return [bucket.to(device) for bucket in buckets]


def encode(
    base: Base, images: Sequence[Image.Image], mirror: bool = False, framings: Sequence[Framing] = ()
) -> Latents:
    """Encode pictures of one size once.

    Args:
        base: The base.
        images: The pictures.
        mirror: Encode their mirror images too.
        framings: How each was cut from its photo, the same seen from both sides; whole pictures when empty.
    """
    everything = [*images, *(ImageOps.mirror(image) for image in images)] if mirror else list(images)
    framings = framings or [Framing.whole(image.height, image.width) for image in images]
    autoencoder = autoencoder_key(base)
    parts = [_encode_one(base, autoencoder, image.convert("RGB")) for image in everything]
    means, deviations = (torch.cat([part[name] for part in parts]) for name in ("mean", "deviation"))
    return Latents(means, deviations, tuple(framings) * (len(everything) // len(images)))


def encode_views(base: Base, views: Sequence[View], mask_floor: float) -> list[Latents]:
    """Encode views with their prompts and masks, those of one size together.

    Args:
        base: The base.
        views: The views.
        mask_floor: Weight of the places that a mask leaves out; views without a mask count as all subject.
    """
    by_size: dict[tuple[int, int], list[View]] = {}
    for view in views:
        by_size.setdefault(view.picture.size, []).append(view)
    buckets = []
    for same in by_size.values():
        latents = encode(base, [view.picture for view in same], framings=[view.framing for view in same])
        size = (latents.mean.shape[-2], latents.mean.shape[-1])
        weights = torch.stack([_loss_weights(view.mask, size, mask_floor) for view in same])
        buckets.append(replace(latents, prompts=tuple(view.prompt for view in same), weights=weights))
    if all(view.mask is None for view in views):
        return [replace(bucket, weights=None) for bucket in buckets]
    means = torch.cat([bucket.weights.mean((1, 2, 3)) for bucket in buckets if bucket.weights is not None])
    mean = means.mean().clamp(min=torch.finfo(torch.float32).tiny)
    return [replace(bucket, weights=bucket.weights / mean) for bucket in buckets if bucket.weights is not None]


def autoencoder_key(base: Base) -> str:
    """Return what latents depend on beside the picture: the autoencoder and its precision."""
    vae = base.pipeline.vae
    return f"{fingerprint({'vae': vae})} {vae.dtype} {vae.config.scaling_factor} {vae.config.get('shift_factor')}"


def _encode_one(base: Base, autoencoder: str, image: Image.Image) -> dict[str, Tensor]:
    def make() -> dict[str, Tensor]:
        mean, deviation = base.family.encode_images([image])
        return {"mean": mean, "deviation": deviation}

    return cached("latents", content_key(autoencoder, image), make)


def _loss_weights(mask: Image.Image | None, size: tuple[int, int], floor: float) -> Tensor:
    """Return a mask ``[1, h, w]`` at the latents' size, its values from `floor` to 1."""
    if mask is None:
        return torch.ones(1, *size)
    values = torch.from_numpy(np.array(mask.convert("L")))[None, None].float() / 255
    return floor + (1 - floor) * F.interpolate(values, size=size, mode="area")[0]

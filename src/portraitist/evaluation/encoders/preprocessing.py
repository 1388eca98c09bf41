"""From pictures to an encoder's input: resized, cut, normalised, and said exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from portraitist.errors import BadConfig

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}
_NAMES = {method.value: name for name, method in RESAMPLING.items()}


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes an encoder's input.

    Attributes:
        size: Side of the square the network sees.
        shorter: The shorter side is brought to this length, the middle `size` is cut out; None squeezes to a square.
        resample: Filter of Pillow, which widens it when reducing, so that nothing is aliased.
        mean: Subtracted, of values in [0, 1], by channel.
        std: Divided by afterwards.
        rounded: Whether resized pictures are rounded to eight bits, as Pillow does; clean-fid does not.
    """

    size: int
    shorter: int | None
    resample: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rounded: bool = True

    def __post_init__(self) -> None:
        if self.resample not in RESAMPLING:
            raise BadConfig(f"there is no filter {self.resample!r}; there are: {', '.join(RESAMPLING)}")
        if self.shorter is not None and self.shorter < self.size:
            raise BadConfig(f"a square of {self.size} cannot be cut from a shorter side of {self.shorter}")

    def __call__(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the encoder's input ``[n, 3, size, size]`` in float32."""
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        pixels = torch.from_numpy(np.stack([self._channels(image.convert("RGB")) for image in images])) / 255
        return (pixels - mean) / std

    def _channels(self, image: Image.Image) -> np.ndarray:
        """Return the square the network sees, float32 ``[3, size, size]`` on 0 to 255."""
        if self.rounded:
            return np.asarray(self.fit(image), dtype=np.float32).transpose(2, 0, 1)
        return np.stack([np.asarray(self.fit(channel.convert("F"))) for channel in image.split()])

    def fit(self, image: Image.Image) -> Image.Image:
        """Return the square part of a picture that the network sees."""
        method = RESAMPLING[self.resample]
        if self.shorter is None:
            return image.resize((self.size, self.size), method)
        # The longer side is rounded down, as torchvision and transformers do.
        width, height = (int(self.shorter * side / min(image.size)) for side in image.size)
        resized = image.resize((width, height), method)
        left, top = (width - self.size) // 2, (height - self.size) // 2
        return resized.crop((left, top, left + self.size, top + self.size))

    @property
    def description(self) -> str:
        """Return every setting in one line."""
        if self.shorter is None:
            geometry = f"squeezed to {self.size} x {self.size}, {self.resample}"
        else:
            geometry = f"shorter side {self.shorter}, {self.resample}, centre {self.size} x {self.size}"
        if not self.rounded:
            geometry = f"{geometry}, not rounded"
        numbers = [" ".join(f"{value:.6g}" for value in values) for values in (self.mean, self.std)]
        return f"{geometry}; mean {numbers[0]}; std {numbers[1]}"


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# DINO and DINOv2 resize to 256 and cut 224 for their evaluations: the same ratio at any size.
_DINO_RATIO = 256 / 224


def from_processor(config: Mapping[str, Any], kind: str, name: str) -> Preprocessing:
    """Read a ``preprocessor_config.json`` of transformers.

    DINO's files on the hub (of the old `ViTFeatureExtractor`) leave out the cut of DINO's own evaluation
    (https://github.com/facebookresearch/dino, ``eval_knn.py``: 256 bicubic, centre 224), which the DINO score of
    DreamBooth uses; for these it is put back.

    Args:
        config: The file's content.
        kind: ``model_type`` of the model.
        name: Name of the encoder, for messages.

    Raises:
        BadConfig: If the file does not say how large the pictures are.
    """
    sides = [_side(config.get(key)) for key in ("crop_size", "size")]
    size = sides[0] if sides[0] and config.get("do_center_crop", True) else sides[1]
    if not size:
        raise BadConfig(f"the preprocessor_config.json of {name} does not say how large its input pictures are")
    mean = three(config.get("image_mean", IMAGENET_MEAN if kind != "clip" else CLIP_MEAN))
    std = three(config.get("image_std", IMAGENET_STD if kind != "clip" else CLIP_STD))
    crops = bool(sides[0] and config.get("do_center_crop", True))
    if kind == "vit" and not crops and mean == IMAGENET_MEAN:
        return Preprocessing(size, round(size * _DINO_RATIO), "bicubic", mean, std)
    resample = _NAMES[int(config.get("resample", Image.Resampling.BICUBIC))]
    shorter = sides[1] if crops else None
    return Preprocessing(size, shorter, resample, mean, std)


def _side(size: Any) -> int | None:
    """Return the (shorter) side of a size written as a number or as a mapping."""
    if isinstance(size, Mapping):
        size = size.get("shortest_edge") or size.get("height")
    return int(size) if size else None


def three(values: Sequence[float]) -> tuple[float, float, float]:
    """Return three numbers, one a channel."""
    red, green, blue = (float(value) for value in values)
    return red, green, blue

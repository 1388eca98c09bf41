"""Preprocessing: every step against NumPy, and against the processors of transformers."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil

from portraitist.errors import BadConfig
from portraitist.evaluation.encoders.onnx import KNOWN
from portraitist.evaluation.encoders.preprocessing import (
    CLIP_MEAN,
    CLIP_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Preprocessing,
    from_processor,
)

CLIP = {
    "crop_size": 224, "do_center_crop": True, "do_normalize": True, "do_resize": True, "image_mean": list(CLIP_MEAN),
    "image_std": list(CLIP_STD), "resample": 3, "size": 224,
}  # fmt: skip
DINO = {
    "do_normalize": True, "do_resize": True, "feature_extractor_type": "ViTFeatureExtractor", "resample": 3,
    "image_mean": list(IMAGENET_MEAN), "image_std": list(IMAGENET_STD), "size": 224,
}  # fmt: skip
DINOV2 = {
    "crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "image_mean": list(IMAGENET_MEAN),
    "image_std": list(IMAGENET_STD), "resample": 3, "size": {"shortest_edge": 256},
}  # fmt: skip


def photo(width: int, height: int) -> Image.Image:
    """Return a picture with fine and coarse detail."""
    rng = np.random.default_rng(width * height)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize((width, height), 3)
    noise = rng.integers(-20, 21, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8))


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -1/2."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def resized(values: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Resize one axis by the definition: a kernel as wide as the reduction, weights summing to one."""
    old = values.shape[axis]
    scale = max(1.0, old / size)
    centres = (np.arange(size) + 0.5) * old / size
    weights = cubic((np.arange(old)[None] + 0.5 - centres[:, None]) / scale)
    weights /= weights.sum(1, keepdims=True)
    return np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)


def test_clip_is_the_shorter_side_resized_and_the_middle_cut_out() -> None:
    image = photo(301, 260)
    given = from_processor(CLIP, "clip", "clip")([image])[0].numpy()
    width = int(224 * 301 / 260)
    levels = resized(resized(np.asarray(image, np.float64), width, 1).clip(0, 255), 224, 0).clip(0, 255)
    left = (width - 224) // 2
    expected = (levels[:, left : left + 224] / 255 - np.array(CLIP_MEAN)) / np.array(CLIP_STD)
    # Pillow rounds to eight bits after each of the two passes.
    assert np.abs(given - expected.transpose(2, 0, 1)).max() < 1.6 / 255 / min(CLIP_STD)


def test_clip_agrees_with_transformers() -> None:
    images = [photo(301, 260), photo(200, 333), photo(224, 224)]
    processor = CLIPImageProcessorPil(**{**CLIP, "size": {"shortest_edge": 224}})
    expected = processor(images, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(from_processor(CLIP, "clip", "clip")(images), expected, atol=1e-5, rtol=1e-5)


def test_dino_is_resized_to_256_before_the_cut() -> None:
    dino, dinov2 = from_processor(DINO, "vit", "dino"), from_processor(DINOV2, "dinov2", "dinov2")
    assert dino.description == dinov2.description
    assert dino.description == (
        "shorter side 256, bicubic, centre 224 x 224; mean 0.485 0.456 0.406; std 0.229 0.224 0.225"
    )
    image = photo(512, 400)
    whole = image.resize((int(256 * 512 / 400), 256), Image.Resampling.BICUBIC)
    left = (whole.width - 224) // 2
    cut = np.asarray(whole.crop((left, 16, left + 224, 240)), np.float64) / 255
    expected = ((cut - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)
    np.testing.assert_allclose(dino([image])[0].numpy(), expected, atol=1e-5)


def test_other_vision_transformers_keep_what_their_file_says() -> None:
    google = {**DINO, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2}
    assert from_processor(google, "vit", "vit").description.startswith("squeezed to 224 x 224, bilinear;")


def test_flat_pictures_become_known_numbers() -> None:
    image = Image.new("RGB", (300, 200), (255, 0, 51))
    clip = from_processor(CLIP, "clip", "clip")([image])
    expected = [(1 - CLIP_MEAN[0]) / CLIP_STD[0], -CLIP_MEAN[1] / CLIP_STD[1], (0.2 - CLIP_MEAN[2]) / CLIP_STD[2]]
    torch.testing.assert_close(clip.mean((0, 2, 3)), torch.tensor(expected), atol=1e-5, rtol=0)
    faces = {112: (255 - 127.5) / 127.5, 160: (255 - 127.5) / 128, 299: (255 - 128) / 128}
    for side, red in faces.items():
        prepared = KNOWN[side]([image])
        assert prepared.shape == (1, 3, side, side)
        torch.testing.assert_close(prepared[0, 0], torch.full((side, side), red), atol=1e-5, rtol=0)


def test_inception_gets_unrounded_pixels() -> None:
    image = photo(64, 80)
    given = KNOWN[299]([image])[0].numpy() * 128 + 128
    values = np.asarray(image, np.float64)
    expected = resized(resized(values, 299, 1), 299, 0).transpose(2, 0, 1)
    assert np.abs(given - expected).max() < 0.01
    rounded = np.asarray(image.resize((299, 299), Image.Resampling.BICUBIC), np.float64).transpose(2, 0, 1)
    assert np.abs(given - rounded).max() > 0.4


def test_pictures_of_other_modes_are_taken() -> None:
    small = Preprocessing(8, 8, "box", (0.0,) * 3, (1.0,) * 3)
    assert small([Image.new("L", (16, 8), 128), Image.new("RGBA", (8, 8), (1, 2, 3, 255))]).shape == (2, 3, 8, 8)


@pytest.mark.parametrize("changes", [{"resample": "smooth"}, {"shorter": 4}])
def test_impossible_settings_are_refused(changes: dict[str, object]) -> None:
    settings = {"size": 8, "shorter": 8, "resample": "box", "mean": (0.0,) * 3, "std": (1.0,) * 3, **changes}
    with pytest.raises(BadConfig):
        Preprocessing(**settings)  # type: ignore[arg-type]

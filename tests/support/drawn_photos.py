"""Pictures with the detail and contrast of photos, no two alike, drawn from a seed."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def draw_photo(seed: int, size: tuple[int, int] = (320, 256), colour: bool = True) -> Image.Image:
    """Draw shapes with sharp edges over fine grain."""
    rng = np.random.default_rng(seed)
    photo = Image.new("RGB", size, (127, 127, 127))
    draw = ImageDraw.Draw(photo)
    for _ in range(12):
        x, y = rng.integers(0, size[0]), rng.integers(0, size[1])
        width, height = rng.integers(20, size[0] // 2), rng.integers(20, size[1] // 2)
        shade = rng.integers(0, 255, 3) if colour else [int(rng.integers(70, 185))] * 3
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((int(x), int(y), int(x + width), int(y + height)), fill=tuple(map(int, shade)))
    grain = rng.normal(0, 6, (size[1], size[0], 1))
    return Image.fromarray((np.asarray(photo) + grain).clip(0, 255).astype(np.uint8))


def save_photos(folder: Path, count: int) -> Path:
    """Write photos ``0.png``, ``1.png``, ... into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        draw_photo(seed).save(folder / f"{seed}.png")
    return folder

"""How far a toyland's pictures are from the drawn pictures of its own world, to a network that nobody here trained.

The Frechet distance of EfficientNet-Lite0's features (`portraitist.evaluation.metrics.frechet`): it depends on the
number of pictures, so only distances of as many are compared. Both sets are resized to the network's input.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.evaluation.encoders import Encoder, load_encoder, raw_embeddings
from portraitist.evaluation.encoders.efficientnet import EfficientNetEncoder
from portraitist.evaluation.metrics import frechet_distance
from portraitist.files import write_aside
from portraitist.generation import SamplingConfig, generate
from portraitist.progress import track
from portraitist.randomness import derive_seed, numpy_generator
from portraitist.toyland.world.captions import caption
from portraitist.toyland.world.painting import render_all
from portraitist.toyland.world.pictures import RESOLUTION, sample_picture

SEED = 41
PICTURES = 5000
_AT_ONCE = 100
_SPLIT = "validation"

# From the seed and the numbers of pictures to pictures with their captions.
Draw = Callable[[int, range], list[tuple[Image.Image, str]]]


@dataclass(frozen=True)
class Distance:
    """A distance, and what it was measured of.

    Attributes:
        base: The base's name and fingerprint.
        pictures: Pictures on each side.
        value: Frechet distance of generated and drawn pictures.
        floor: Frechet distance of two halves of the drawn pictures, each half as many.
        sampling: Steps, guidance and scheduler, in words.
    """

    base: str
    pictures: int
    value: float
    floor: float
    sampling: str


def load_judge(name: str, device: torch.device | str = "cpu") -> Encoder:
    """Load an encoder; EfficientNet sees pictures to their borders, where it would cut them out."""
    encoder = load_encoder(name, device)
    if isinstance(encoder, EfficientNetEncoder):
        return replace(encoder, preprocessing=replace(encoder.preprocessing, shorter=None))
    return encoder


def draw_world(seed: int, indices: range) -> list[tuple[Image.Image, str]]:
    """Draw pictures of the world, 128 pixels wide."""
    specs, texts = [], []
    for index in indices:
        rng = numpy_generator(seed, "compared", index)
        specs.append(sample_picture(rng, _SPLIT))
        texts.append(caption(specs[-1], rng))
    return list(zip(render_all(specs), texts, strict=True))


def require_toyland(base: Base) -> None:
    """Refuse a base that was not trained on toyland's world, which its resolution tells.

    Raises:
        BadConfig: If it makes pictures of another size.
    """
    if base.family.resolution != RESOLUTION:
        raise BadConfig(
            f"{base.name} makes pictures of {base.family.resolution} pixels, toyland's are of {RESOLUTION};"
            " give a toyland"
        )


def measure_distance(
    base: Base,
    encoder: Encoder,
    folder: Path,
    count: int = PICTURES,
    config: SamplingConfig | None = None,
    seed: int = SEED,
    draw: Draw = draw_world,
) -> Distance:
    """Compare generated pictures with the drawn ones whose captions they were generated from.

    Args:
        base: A toyland.
        encoder: Whose features are compared.
        folder: Where features are kept, so that an interrupted measurement goes on.
        count: Pictures on each side.
        config: How pictures are sampled; as usual for the base when not given.
        seed: Seed of what is drawn, and of every generated picture's noise.
        draw: Draws the pictures to compare with.
    """
    sampling = (config or SamplingConfig(batch_size=32)).for_base(base)
    words = f"steps {sampling.steps}, guidance {sampling.guidance:g}, {sampling.scheduler}"
    parts = []
    with track(count, "comparing pictures") as progress:
        for start in range(0, count, _AT_ONCE):
            indices = range(start, min(start + _AT_ONCE, count))
            key = f"{base.fingerprint} {encoder.revision} {encoder.preprocessing} {seed} {words} {indices}"
            path = folder / f"{derive_seed(0, key):x}.safetensors"
            if not path.exists():
                with write_aside(path) as temporary:
                    save_file(_compared(base, encoder, draw, seed, indices, sampling), temporary)
            parts.append(load_file(path))
            progress.advance(len(indices))
    generated, drawn = (torch.cat([part[side] for part in parts]) for side in ("generated", "drawn"))
    value, floor = frechet_distance(generated, drawn), frechet_distance(drawn[::2], drawn[1::2])
    return Distance(f"{base.name} ({base.fingerprint[:12]})", count, value, floor, words)


def _compared(
    base: Base, encoder: Encoder, draw: Draw, seed: int, indices: range, sampling: SamplingConfig
) -> dict[str, Tensor]:
    """Return features ``[n, d]`` of drawn pictures, and of those generated from their captions."""
    pictures, captions = zip(*draw(seed, indices), strict=True)
    generated = _generated(base, captions, seed, indices, sampling, show_progress=False)
    return {"drawn": raw_embeddings(encoder, pictures), "generated": raw_embeddings(encoder, generated)}


def _generated(
    base: Base,
    captions: Sequence[str],
    seed: int,
    indices: range,
    sampling: SamplingConfig | None,
    show_progress: bool = True,
) -> list[Image.Image]:
    seeds = [derive_seed(seed, "compared noise", index) for index in indices]
    pictures = generate(base, captions, seeds=seeds, config=sampling, show_progress=show_progress)
    return [picture.image for picture in pictures]


def beside(
    base: Base,
    count: int = 64,
    columns: int = 8,
    tile: int = 128,
    config: SamplingConfig | None = None,
    seed: int = SEED,
) -> Image.Image:
    """Lay out generated pictures on the left and the drawn ones with the same captions on the right."""
    indices = range(count)
    pictures, captions = zip(*draw_world(seed, indices), strict=True)
    generated = _generated(base, captions, seed, indices, config or SamplingConfig(batch_size=32))
    return side_by_side(generated, pictures, columns, tile)


def side_by_side(
    left: Sequence[Image.Image], right: Sequence[Image.Image], columns: int, tile: int, gap: int = 24
) -> Image.Image:
    """Lay out two sets of as many pictures as blocks with a gap between them."""
    rows = -(-len(left) // columns)
    width = columns * tile
    sheet = Image.new("RGB", (2 * width + gap, rows * tile), "white")
    for offset, pictures in ((0, left), (width + gap, right)):
        for number, picture in enumerate(pictures):
            row, column = divmod(number, columns)
            sheet.paste(picture.convert("RGB").resize((tile, tile)), (offset + column * tile, row * tile))
    return sheet

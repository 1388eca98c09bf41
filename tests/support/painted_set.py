"""A small set of identities for any base: each is a colour, its photos are blots of it."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from portraitist.adapters import Adapter, Space
from portraitist.adapters.banks import save_bank
from portraitist.bases import Base
from portraitist.bases.families import Framing
from portraitist.hypernetworks.identities.entry import Entry, PhotoFacts, TargetFacts
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.identities.index import write_index
from portraitist.hypernetworks.identities.settings import SetSettings, TargetSettings, keep_settings
from portraitist.hypernetworks.identities.shards import (
    DEVIATION,
    LATENTS,
    MEAN,
    PHOTOS,
    PIXELS,
    TARGETS,
    shard_path,
    write_shard,
)
from portraitist.training.inputs.latents import autoencoder_key, encode

KINDS = ("cat", "robot")
_COLOURS = ((200, 30, 30), (30, 60, 200), (240, 200, 40), (30, 160, 60), (120, 30, 140), (240, 140, 180))


def paint(who: int, photo: int, side: int) -> Image.Image:
    """Paint a photo of an identity: a cat is a disc, a robot a square, somewhere."""
    rng = np.random.default_rng((who, photo))
    pixels = np.full((side, side, 3), 225, np.uint8)
    y, x = np.mgrid[:side, :side] / side
    cy, cx = rng.uniform(0.4, 0.6, 2)
    inside = np.hypot(y - cy, x - cx) < 0.3 if who % 2 == 0 else np.maximum(abs(y - cy), abs(x - cx)) < 0.3
    pixels[inside] = _COLOURS[who % len(_COLOURS)]
    return Image.fromarray(pixels)


def paint_set(
    folder: Path,
    base: Base,
    count: int = 4,
    photos: int = 3,
    targets: Space | None = None,
    frozen_a: bool = False,
) -> IdentitySet:
    """Write a set whose identities are all for training; targets, if a space is given, are random numbers."""
    side = base.family.resolution
    settings = SetSettings(
        source="painted",
        kinds=KINDS,
        split="train",
        count=count,
        photos=photos,
        token="sks",
        seed=0,
        resolution=side,
        base=base.name,
        fingerprint=base.fingerprint,
        precision=base.precision,
        autoencoder=autoencoder_key(base),
        target=None
        if targets is None
        else TargetSettings(recipe={"method": targets.method.name}, bank_size=count, frozen_a=frozen_a),
        shard_size=count,
    )
    keep_settings(folder, settings)
    write_index(folder, [_entry(who, photos, side, targets is not None) for who in range(count)], {})
    pictures = [paint(who, photo, side) for who in range(count) for photo in range(photos)]
    pixels = torch.from_numpy(np.stack([np.array(picture) for picture in pictures]))
    latents = encode(base, pictures)
    write_shard(shard_path(folder, PHOTOS, 0), {PIXELS: pixels})
    write_shard(shard_path(folder, LATENTS, 0), {MEAN: latents.mean, DEVIATION: latents.deviation})
    if targets is not None:
        numbers = 0.3 * torch.randn(count, targets.count, generator=torch.Generator().manual_seed(0))
        values = targets.unflatten(numbers)
        if frozen_a:
            for params in values.values():
                params["down"] = params["down"][:1].expand(count, -1, -1).clone()
        save_bank(Adapter(targets, values), shard_path(folder, TARGETS, 0))
    return IdentitySet.open(folder)


def _entry(who: int, photos: int, side: int, with_target: bool) -> Entry:
    kind = KINDS[who % len(KINDS)]
    return Entry(
        number=who,
        key=f"{kind}-{who}",
        kind=kind,
        class_noun=kind,
        split="train",
        prompt=f"a photo of a sks {kind}",
        seed=0,
        shard=0,
        row=who * photos,
        first=who * photos,
        photos=tuple(
            PhotoFacts(
                caption=f"a {kind}",
                prompt=f"a photo of a sks {kind} {('on the beach', 'in space', 'in the snow')[photo % 3]}",
                labels={},
                sha256=hashlib.sha256(bytes([who, photo])).hexdigest(),
                framing=Framing.whole(side, side),
            )
            for photo in range(photos)
        ),
        target=TargetFacts(0, who, 0.5, 0.25, 1.0) if with_target else None,
    )

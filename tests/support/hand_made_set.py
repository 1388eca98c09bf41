"""A small set of identities, made by hand: five in three shards, targets in banks of two."""

import hashlib
from pathlib import Path

import torch
from torch import nn

from portraitist.adapters import Adapter, Kind, LayerSpec
from portraitist.adapters.banks import save_bank, stack
from portraitist.bases.families import Framing
from portraitist.evaluation.encoders import EncoderFacts
from portraitist.hypernetworks.identities.entry import Entry, PhotoFacts, TargetFacts
from portraitist.hypernetworks.identities.index import write_index
from portraitist.hypernetworks.identities.settings import SetSettings, TargetSettings, keep_settings
from portraitist.hypernetworks.identities.shards import (
    DEVIATION,
    EMBEDDINGS,
    LATENTS,
    MEAN,
    PHOTOS,
    PIXELS,
    TARGETS,
    features_stage,
    shard_path,
    write_shard,
)

ENCODER = EncoderFacts(name="toyland-identity", revision="0123456789abcdef", preprocessing="as it is")
SIDE, SHARD, BANK = 8, 2, 2
COUNTS = (3, 1, 2, 4, 3)
SPLITS = ("train", "validation", "train", "train", "test")


def hand_made_settings() -> SetSettings:
    return SetSettings(
        source="toyland:all",
        kinds=("person", "cat"),
        split="all",
        count=len(COUNTS),
        photos=4,
        token="sks",
        seed=7,
        resolution=SIDE,
        base="toyland",
        fingerprint="base",
        precision="float32",
        autoencoder="autoencoder",
        encoders=(ENCODER,),
        target=TargetSettings(recipe={"method": "lora"}, bank_size=BANK),
        shard_size=SHARD,
    )


def write_hand_made(folder: Path) -> Path:
    """Write a set in which everything about photo number `n` holds the number `n`."""
    settings = hand_made_settings()
    keep_settings(folder, settings)
    write_index(folder, entries(), {"base": settings.fingerprint})
    for shard in range(settings.shards):
        numbers = torch.tensor([n for entry in entries() if entry.shard == shard for n in entry.numbers])
        pixels = numbers[:, None, None, None].expand(-1, SIDE, SIDE, 3).to(torch.uint8)
        latents = numbers[:, None, None, None].expand(-1, 4, 2, 2).float()
        write_shard(shard_path(folder, PHOTOS, shard), {PIXELS: pixels})
        write_shard(shard_path(folder, LATENTS, shard), {MEAN: latents, DEVIATION: latents / 10})
        embeddings = {EMBEDDINGS: numbers[:, None].expand(-1, 3).float()}
        write_shard(shard_path(folder, features_stage(ENCODER), shard), embeddings)
    for bank in range(2):
        adapters = [target(number) for number in settings.bank_members(bank)]
        save_bank(stack(adapters), shard_path(folder, TARGETS, bank))
    return folder


def target(number: int) -> Adapter:
    adapter = Adapter.create(
        "lora", {"rank": 1}, [LayerSpec("unet.to_q", Kind.LINEAR, (4, 4))], torch.Generator().manual_seed(0)
    )
    filled = {
        layer: {name: nn.Parameter(torch.full_like(value, number)) for name, value in values.items()}
        for layer, values in adapter.values.items()
    }
    return Adapter(adapter.space, filled)


def entries() -> list[Entry]:
    made: list[Entry] = []
    for number, (count, split) in enumerate(zip(COUNTS, SPLITS, strict=True)):
        first = sum(COUNTS[:number])
        kind = "person" if number % 2 == 0 else "cat"
        photos = tuple(
            PhotoFacts(
                caption=f"a {kind} with black hair in scene {n}",
                prompt=f"a photo of a sks {kind} in scene {n}",
                labels={"scene": n},
                # The first two photos of the first identity are the same.
                sha256=hashlib.sha256(bytes([max(n, 1)])).hexdigest(),
                framing=Framing.whole(SIDE, SIDE),
            )
            for n in range(first, first + count)
        )
        made.append(
            Entry(
                number=number,
                key=f"{kind}-{number}",
                kind=kind,
                class_noun=kind,
                split=split,
                prompt=f"a photo of a sks {kind}",
                seed=7,
                shard=number // SHARD,
                row=first - sum(COUNTS[: number // SHARD * SHARD]),
                first=first,
                photos=photos,
                provenance={"parts": {"hair": "black"}},
                target=TargetFacts(number // BANK, number % BANK, 0.5, 0.25, 3.0) if number < 4 else None,
                flags=("only one photo",) if count == 1 else (),
            )
        )
    return made

"""A small world beside toyland's: one coloured shape on a ground, painted in batches, with captions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from portraitist.toyland.worlds import World

SIDE = 64
COLOURS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (40, 70, 220), "yellow": (235, 210, 50)}
SHAPES = ("disc", "square", "ring", "cross")
PLACES = {"left": 0.32, "middle": 0.5, "right": 0.68}
GROUNDS = {"white": (245, 245, 245), "black": (20, 20, 20), "pink": (250, 180, 200)}


@dataclass(frozen=True)
class Spec:
    """One shape."""

    shape: str
    colour: str
    place: str
    ground: str
    size: float
    height: float


@dataclass(frozen=True)
class Plan:
    """Arrays with a row a picture: kind of shape, colours, centre and size."""

    shapes: np.ndarray
    colours: np.ndarray
    grounds: np.ndarray
    centres: np.ndarray
    sizes: np.ndarray


def sample(rng: np.random.Generator, split: str) -> Spec:
    return Spec(
        str(rng.choice(SHAPES)),
        str(rng.choice(list(COLOURS))),
        str(rng.choice(list(PLACES))),
        str(rng.choice(list(GROUNDS))),
        float(rng.uniform(0.15, 0.28)),
        float(rng.uniform(0.4, 0.6)),
    )


def describe(spec: Spec, rng: np.random.Generator, complete: bool) -> str:
    words = [spec.colour if complete or rng.random() < 0.8 else "", spec.shape]
    behind = f"on a {spec.ground} ground" if complete or rng.random() < 0.8 else ""
    place = f"in the {spec.place}" if complete or rng.random() < 0.5 else ""
    return " ".join(part for part in ("a", *words, place, behind) if part)


def labels(spec: Spec) -> dict[str, Any]:
    return {"shape": spec.shape, "colour": spec.colour, "place": spec.place, "ground": spec.ground}


def plan(specs: Sequence[Spec]) -> Plan:
    return Plan(
        np.array([SHAPES.index(spec.shape) for spec in specs]),
        np.array([COLOURS[spec.colour] for spec in specs], dtype=np.float32),
        np.array([GROUNDS[spec.ground] for spec in specs], dtype=np.float32),
        np.array([(spec.height, PLACES[spec.place]) for spec in specs], dtype=np.float32),
        np.array([spec.size for spec in specs], dtype=np.float32),
    )


class Painter:
    def __init__(self, device: str) -> None:
        self.device = device

    def paint(self, planned: Plan) -> Tensor:
        def carry(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(self.device)

        line = (torch.arange(SIDE, device=self.device) + 0.5) / SIDE
        centres, sizes = carry(planned.centres), carry(planned.sizes)[:, None, None]
        down, across = line[None, :, None] - centres[:, :1, None], line[None, None, :] - centres[:, 1:, None]
        radius, edge = (down**2 + across**2).sqrt(), torch.maximum(down.abs(), across.abs())
        thin = torch.minimum(down.abs().expand_as(edge), across.abs().expand_as(edge))
        kinds = torch.stack(
            [
                radius < sizes,
                edge < 0.9 * sizes,
                (radius < sizes) & (radius > 0.5 * sizes),
                (edge < sizes) & (thin < 0.3 * sizes),
            ]
        )
        inside = kinds[carry(planned.shapes), torch.arange(len(sizes), device=self.device)][:, None]
        painted = torch.where(inside, carry(planned.colours)[..., None, None], carry(planned.grounds)[..., None, None])
        return painted.to(torch.uint8)


def stand_in_world() -> World:
    return World(SIDE, SHAPES, ("sks", "olo", "zwx"), sample, describe, labels, plan, Painter)


def tiny_sections() -> dict[str, dict[str, Any]]:
    """Return what differs from the shipped settings where every stage is to take a moment."""
    text = {"vocabulary": 700, "width": 32, "layers": 1, "heads": 2, "embedding": 16, "picture_channels": [8, 16]}
    return {
        "pictures": {"train": 24, "validation": 12, "captions": 2},
        "autoencoder": {
            **{"channels": [8, 8, 16, 16], "latent_channels": 4, "norm_groups": 4},
            **{"crop": 32, "steps": 4, "batch_size": 4},
        },
        "decoder": {"discriminator_channels": [8, 8, 16, 16], "steps": 3, "batch_size": 2, "warmup_steps": 1},
        "text_encoder": {**text, "tokens": 24, "steps": 4, "batch_size": 6, "warmup_steps": 1},
        "denoiser": {
            **{"channels": [32, 32], "attention": [False, True], "head_width": 16},
            **{"steps": 4, "batch_size": 4, "warmup_steps": 1},
        },
    }

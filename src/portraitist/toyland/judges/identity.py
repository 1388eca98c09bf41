"""The encoder that tells identities apart (ArcFace's margin), trained on identities drawn anew in every step."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from portraitist.evaluation.encoders import PictureNetwork
from portraitist.randomness import numpy_generator
from portraitist.toyland.judges.config import IdentityConfig
from portraitist.toyland.judges.stream import as_seen, disturb
from portraitist.toyland.world.identities import KINDS, Identity, sample_identity
from portraitist.toyland.world.painting import Painter, plan
from portraitist.toyland.world.pictures import sample_picture
from portraitist.training.loop.contracts import ParameterGroup
from portraitist.training.networks.parameters import group_parameters

_NO_LABEL = -100
_KNOWN = 4000  # identities that name what parts there are


def arcface_logits(embeddings: Tensor, centres: Tensor, target: Tensor, scale: float, margin: float) -> Tensor:
    """Return ``s cos(angle + m)`` for the right class and ``s cos(angle)`` for the others, ``[n, classes]``.

    ArcFace, arXiv 1801.07698, equation 3. Beyond ``pi - m``, where the cosine would rise again, the angle is clamped.

    Args:
        embeddings: Any length, ``[n, d]``.
        centres: One for each class, any length, ``[classes, d]``.
        target: Right classes ``[n]``.
        scale: The factor s.
        margin: The margin m in radians.
    """
    cosines = F.normalize(embeddings, dim=-1) @ F.normalize(centres, dim=-1).T
    own = cosines.gather(1, target[:, None])
    angle = own.clamp(-1 + 1e-6, 1 - 1e-6).acos()
    return scale * cosines.scatter(1, target[:, None], (angle + margin).clamp(max=torch.pi).cos())


class PartLabels:
    """The parts that identities are made of, as classes to tell apart.

    Attributes:
        choices: The choices of every slot: the kind, and every part of every kind.
        sizes: Their numbers.
    """

    def __init__(self, identities: Sequence[Identity]) -> None:
        found: dict[str, set[str]] = {}
        for who in identities:
            for slot, name in _made_of(who).items():
                found.setdefault(slot, set()).add(name)
        self.choices = {slot: sorted(names) for slot, names in sorted(found.items())}
        self.sizes = [len(names) for names in self.choices.values()]

    def labels(self, identities: Sequence[Identity]) -> Tensor:
        """Return the choices of identities, int64 ``[n, slots]``; -100 where a kind has no such part."""
        rows = [_made_of(who) for who in identities]
        return torch.tensor(
            [
                [
                    names.index(row[slot]) if row.get(slot) in names else _NO_LABEL
                    for slot, names in self.choices.items()
                ]
                for row in rows
            ]
        )

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross entropies of all slots ``[n, sum of sizes]``, summed, as a mean over pictures."""
        slots = zip(logits.split(self.sizes, dim=1), labels.to(logits.device).unbind(1), strict=True)
        losses = [F.cross_entropy(one, right, ignore_index=_NO_LABEL, reduction="sum") for one, right in slots]
        return torch.stack(losses).sum() / len(logits)


def _made_of(who: Identity) -> dict[str, str]:
    return {"kind": who.kind, **{f"{who.kind} {part}": name for part, name in who.parts}}


class IdentityTask:
    """Find the other portrait of the same identity among those of a batch, with a margin, and name its parts.

    In ArcFace every class has a learnt centre. Here no identity is met twice, so the other portrait takes the centre's
    place. The parts, read from the embedding by a linear layer that is discarded, teach a fresh network what to look
    at; the angular loss and its margin come in with ``margin_steps``.
    """

    def __init__(self, network: PictureNetwork, painter: Painter, config: IdentityConfig) -> None:
        """Set up the task.

        Args:
            network: The network to train.
            painter: Who paints the portraits, on the network's device.
            config: Settings of the stage.
        """
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network, self.painter, self.config = network.train(), painter, config
        rng = numpy_generator(config.seed, "known parts")
        self.parts = PartLabels([sample_identity(rng) for _ in range(_KNOWN)])
        weights = numpy_generator(config.seed, "parts").standard_normal((sum(self.parts.sizes), config.embedding))
        reader = torch.from_numpy((weights / config.embedding**0.5).astype(np.float32))
        self.reader = nn.Parameter(reader.to(painter.device))

    def groups(self) -> Sequence[ParameterGroup]:
        """Return the network's parameters and what reads the parts."""
        named = {**dict(self.network.named_parameters()), "reader": self.reader}
        return group_parameters(named, self.config.learning_rate, self.config.weight_decay)

    def identity(self) -> dict[str, Any]:
        """Return the stage's settings, save how long it goes on."""
        return {"stage": "identity encoder", **self.config.model_dump(mode="json", exclude={"steps"})}

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Recognise the identities of one batch, two portraits of each."""
        config = self.config
        who = self._sample(step)
        rng = numpy_generator(config.seed, "portraits", step)
        specs = [sample_picture(rng, identities=(one,)) for _ in range(2) for one in who]
        pixels = as_seen(self.painter.paint(plan(specs)), config.side)
        embeddings = self.network(disturb(pixels, config, step)).float()
        come_in = min(1.0, step / max(1, config.margin_steps))
        one, other = embeddings.chunk(2)
        target = torch.arange(len(who), device=one.device)
        ways = [
            arcface_logits(a, b, target, config.scale, config.margin * come_in) for a, b in ((one, other), (other, one))
        ]
        angular = torch.stack([F.cross_entropy(logits, target) for logits in ways]).mean()
        parts = self.parts.loss(embeddings @ self.reader.T, self.parts.labels([*who, *who]))
        accuracy = (ways[0].argmax(1) == target).float().mean()
        return {"loss": parts + come_in * angular, "parts": parts, "angular": angular, "accuracy": accuracy}

    def _sample(self, step: int) -> list[Identity]:
        """Draw different identities, so many of them people."""
        rng, config = numpy_generator(self.config.seed, "identities", step), self.config
        drawn: dict[Identity, None] = {}
        others = [kind for kind in KINDS if kind != "person"]
        while len(drawn) < config.batch_size:
            kind = "person" if rng.random() < config.people else others[int(rng.integers(len(others)))]
            drawn.setdefault(sample_identity(rng, kind=kind))
        return list(drawn)


@torch.no_grad()
def identity_accuracy(network: PictureNetwork, portraits: Tensor, side: int) -> float:
    """Return how often a second portrait's nearest first portrait is of the same identity (top 1 among all).

    Args:
        network: The network.
        portraits: uint8 pictures ``[identities, 2 or more, 3, h, w]``.
        side: Side of the pictures that the network sees.
    """
    device = network.head.weight.device
    known, asked = (
        torch.cat([network(as_seen(part, side)) for part in portraits[:, which].to(device).split(100)])
        for which in (0, 1)
    )
    nearest = (F.normalize(asked, dim=-1) @ F.normalize(known, dim=-1).T).argmax(1).cpu()
    return float((nearest == torch.arange(len(portraits))).float().mean())

"""The encoders that evaluations on toyland measure with: who is who (ArcFace), and what looks alike (VICReg).

The third, of pictures and texts, learns by the task of the text encoder (`portraitist.toyland.first.text_encoder`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from portraitist.evaluation.encoders import PictureNetwork
from portraitist.randomness import epoch_order, numpy_generator
from portraitist.toyland.first.autoencoder import to_tensor
from portraitist.toyland.first.config import IdentityEncoderConfig, ViewsEncoderConfig
from portraitist.toyland.first.examiner import blur
from portraitist.toyland.first.world.identities import Identity
from portraitist.training.loop.loop import ParameterGroup

_EPSILON = 1e-4
_NO_LABEL = -100
_CENTRE_SCALE = 0.05


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


def vicreg_terms(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return invariance, variance and covariance of two views' embeddings ``[n, d]`` (VICReg, arXiv 2105.04906).

    Equations 1 to 5: the mean squared distance; the hinge of each dimension's deviation below one; the squared
    covariances between different dimensions over their number.
    """
    invariance = F.mse_loss(one, other)
    variance, covariance = torch.zeros_like(invariance), torch.zeros_like(invariance)
    for view in (one, other):
        centred = view - view.mean(0)
        variance = variance + F.relu(1 - (centred.var(0) + _EPSILON).sqrt()).mean() / 2
        matrix = centred.T @ centred / (len(view) - 1)
        covariance = covariance + (matrix.square().sum() - matrix.diagonal().square().sum()) / view.shape[1]
    return invariance, variance, covariance


def _groups(named: Mapping[str, nn.Parameter], rate: float, decay: float) -> list[ParameterGroup]:
    """Return matrices with weight decay and everything else without."""
    matrices = {name: p for name, p in named.items() if p.ndim > 1}
    others = {name: p for name, p in named.items() if p.ndim <= 1}
    return [ParameterGroup(matrices, rate, decay), ParameterGroup(others, rate)]


def _normal(seed: int, name: str, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(numpy_generator(seed, name).standard_normal(shape).astype(np.float32))


def _place(pixels: Tensor, device: torch.device) -> Tensor:
    """Put pictures where the network is, in the layout its convolutions are fastest with."""
    return pixels.to(device, memory_format=torch.channels_last)


class PartLabels:
    """The parts that identities are made of, as classes to tell apart.

    Attributes:
        sizes: Number of choices of every slot: the kind, and every part of every kind.
        labels: The choice of every identity, int64 ``[identities, slots]``; -100 where its kind has no such part.
    """

    def __init__(self, identities: Sequence[Identity]) -> None:
        made_of = [{"kind": who.kind, **{f"{who.kind} {part}": name for part, name in who.parts}} for who in identities]
        slots = sorted({slot for parts in made_of for slot in parts})
        choices = {slot: sorted({parts[slot] for parts in made_of if slot in parts}) for slot in slots}
        self.sizes = [len(names) for names in choices.values()]
        rows = [
            [names.index(parts[slot]) if slot in parts else _NO_LABEL for slot, names in choices.items()]
            for parts in made_of
        ]
        self.labels = torch.tensor(rows)

    def loss(self, logits: Tensor, who: Tensor) -> Tensor:
        """Return the cross entropies of all slots ``[n, sum of sizes]``, summed, as a mean over pictures of `who`."""
        wanted = self.labels[who].to(logits.device).unbind(1)
        slots = zip(logits.split(self.sizes, dim=1), wanted, strict=True)
        losses = [F.cross_entropy(one, right, ignore_index=_NO_LABEL, reduction="sum") for one, right in slots]
        return torch.stack(losses).sum() / len(who)


class IdentityTask:
    """Tell training identities apart by angles to learnt centres, with a margin, and by the parts they are made of.

    Thousands of identities with a few pictures each teach a fresh network nothing: their angles come to one value. The
    parts, read from the embedding by a linear layer that is discarded, teach it what to look at; the angular loss
    and its margin come in with ``margin_steps``.
    """

    def __init__(
        self,
        network: PictureNetwork,
        portraits: np.ndarray,
        identities: Sequence[Identity],
        config: IdentityEncoderConfig,
    ) -> None:
        """Set up the task.

        Args:
            network: The network to train.
            portraits: uint8 pictures ``[identities, each, h, w, 3]``.
            identities: Who they show.
            config: Settings of the stage.
        """
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network.train()
        self.portraits, self.config = portraits, config
        self.device = network.head.weight.device
        self.parts = PartLabels(identities)
        # Short centres turn quickly at the network's own learning rate.
        centres = _CENTRE_SCALE * _normal(config.seed, "centres", (len(portraits), config.embedding))
        self.centres = nn.Parameter(centres.to(self.device))
        reader = _normal(config.seed, "parts", (sum(self.parts.sizes), config.embedding)) / config.embedding**0.5
        self.reader = nn.Parameter(reader.to(self.device))

    def groups(self) -> Sequence[ParameterGroup]:
        """Return the network's parameters, the centres and what reads the parts."""
        named = {**dict(self.network.named_parameters()), "centres": self.centres, "reader": self.reader}
        return _groups(named, self.config.learning_rate, self.config.weight_decay)

    def identity(self) -> dict[str, Any]:
        """Return the stage's settings and the number of pictures."""
        pictures = list(self.portraits.shape[:2])
        return {"stage": "identity encoder", "pictures": pictures, **self.config.model_dump(mode="json")}

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Recognise one batch."""
        config, (people, each) = self.config, self.portraits.shape[:2]
        size = config.batch_size
        chosen = np.sort(epoch_order(people * each, config.seed, "pictures", step * size, size))
        pixels = to_tensor(self.portraits.reshape(people * each, *self.portraits.shape[2:])[chosen])
        target = torch.from_numpy(chosen // each).to(self.device)
        embeddings = self.network(_place(self._move(pixels, step), self.device)).float()
        come_in = min(1.0, step / max(1, config.margin_steps))
        logits = arcface_logits(embeddings, self.centres, target, config.scale, config.margin * come_in)
        parts = self.parts.loss(embeddings @ self.reader.T, target)
        loss = parts + come_in * F.cross_entropy(logits, target)
        return {"loss": loss, "parts": parts, "accuracy": (logits.argmax(1) == target).float().mean()}

    def _move(self, pixels: Tensor, step: int) -> Tensor:
        """Move and blur pictures a little; pose, scene, clothes and style vary in the portraits themselves."""
        rng, reach, side = numpy_generator(self.config.seed, "moves", step), self.config.shift, pixels.shape[-1]
        padded = F.pad(pixels, (reach, reach, reach, reach), mode="replicate")
        corners = rng.integers(0, 2 * reach + 1, (len(pixels), 2)).tolist()
        moved = torch.stack([p[:, y : y + side, x : x + side] for p, (y, x) in zip(padded, corners, strict=True)])
        amounts = rng.uniform(0, 1, len(pixels)) * (rng.random(len(pixels)) < 0.5)
        return moved.lerp(blur(moved), torch.from_numpy(amounts).float()[:, None, None, None])


class ViewsTask:
    """Embed two views of a picture alike, and different dimensions unlike.

    VICReg needs neither a teacher nor negatives, so a step depends on nothing but the parameters and its number.
    """

    def __init__(self, network: PictureNetwork, images: np.ndarray, config: ViewsEncoderConfig) -> None:
        """Set up the task.

        Args:
            network: The network to train.
            images: uint8 pictures ``[n, h, w, 3]``.
            config: Settings of the stage.
        """
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network, self.images, self.config = network.train(), images, config
        self.device = network.head.weight.device
        width = config.expander
        self.expander = nn.Sequential(
            nn.Linear(config.embedding, width),
            nn.BatchNorm1d(width, track_running_stats=False),
            nn.ReLU(),
            nn.Linear(width, width),
        ).to(self.device)

    def groups(self) -> Sequence[ParameterGroup]:
        """Return the parameters of network and expander."""
        named = {
            **{f"network.{name}": parameter for name, parameter in self.network.named_parameters()},
            **{f"expander.{name}": parameter for name, parameter in self.expander.named_parameters()},
        }
        return _groups(named, self.config.learning_rate, self.config.weight_decay)

    def identity(self) -> dict[str, Any]:
        """Return the stage's settings and the number of pictures."""
        return {"stage": "dino encoder", "pictures": len(self.images), **self.config.model_dump(mode="json")}

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Compare two views of one batch."""
        config = self.config
        size = config.batch_size
        chosen = np.sort(epoch_order(len(self.images), config.seed, "pictures", step * size, size))
        pixels = to_tensor(self.images[chosen])
        views = torch.cat([self.view(pixels, step, name) for name in ("first", "second")])
        one, other = self.expander(self.network(_place(views, self.device))).float().chunk(2)
        invariance, variance, covariance = vicreg_terms(one, other)
        loss = config.invariance * invariance + config.variance * variance + config.covariance * covariance
        return {"loss": loss, "invariance": invariance, "variance": variance, "covariance": covariance}

    def view(self, pixels: Tensor, step: int, name: str) -> Tensor:
        """Cut, mirror, brighten and blur pictures ``[n, 3, h, w]``, each in its own way."""
        config, count = self.config, len(pixels)
        rng = numpy_generator(config.seed, f"{name} view", step)

        def draw(low: float, high: float) -> Tensor:
            return torch.from_numpy(rng.uniform(low, high, count)).float()

        share = draw(config.crop, 1.0)
        mirror = torch.from_numpy(rng.choice([-1.0, 1.0], count)).float()
        theta = torch.zeros(count, 2, 3)
        theta[:, 0, 0], theta[:, 1, 1] = share * mirror, share
        theta[:, 0, 2], theta[:, 1, 2] = draw(-1, 1) * (1 - share), draw(-1, 1) * (1 - share)
        grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
        view = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
        wide = (slice(None), None, None, None)
        contrast, brightness = draw(1 - config.jitter, 1 + config.jitter), draw(-config.jitter, config.jitter)
        view = (view * contrast[wide] + brightness[wide]).clamp(-1, 1)
        amounts = draw(0, config.blur) * torch.from_numpy(rng.random(count) < 0.5)
        return view.lerp(blur(view), amounts[wide])


@torch.no_grad()
def identity_accuracy(network: PictureNetwork, portraits: np.ndarray) -> float:
    """Return how often a second portrait's nearest first portrait is of the same identity (top 1 among all).

    Args:
        network: The network.
        portraits: uint8 pictures ``[identities, 2 or more, h, w, 3]``.
    """
    device = network.head.weight.device
    known, asked = (F.normalize(network(to_tensor(portraits[:, which]).to(device)), dim=-1) for which in (0, 1))
    return float(((asked @ known.T).argmax(1).cpu() == torch.arange(len(portraits))).float().mean())

"""The self-supervised encoder: two views of one picture are found among the views of others (SimCLR, 2002.05709).

What two photos of somebody have in common, and a place or a style has not, is in the middle of a picture; so a view is
of the middle, laid over another picture, turned, cut, tinted and partly covered. Who is on it is never told.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from portraitist.evaluation.encoders import PictureNetwork
from portraitist.randomness import numpy_generator
from portraitist.toyland.judges.config import ViewsConfig
from portraitist.toyland.judges.stream import as_seen, sample_batch
from portraitist.toyland.world.painting import Painter, plan
from portraitist.training.loop.contracts import ParameterGroup
from portraitist.training.networks.parameters import group_parameters

# Half widths and half heights of the middle that is laid over another picture, and where its centre is.
_WIDTHS, _HEIGHTS, _ACROSS, _DOWN = (0.24, 0.44), (0.3, 0.5), (0.45, 0.55), (0.48, 0.64)
_SOFTNESS = 6.0
_PATCH = (0.08, 0.2)
_WIDE = (slice(None), None, None, None)


def contrastive_loss(one: Tensor, other: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy of finding each view's other view among all, and how often that succeeds.

    NT-Xent, arXiv 2002.05709, equation 1.

    Args:
        one: First views' projections ``[n, d]``, any length.
        other: Second views' projections.
        temperature: Cosines are divided by it.
    """
    views = F.normalize(torch.cat([one, other]), dim=-1)
    logits = (views @ views.T / temperature).fill_diagonal_(-torch.inf)
    count = torch.arange(len(one), device=one.device)
    target = torch.cat([count + len(one), count])
    return F.cross_entropy(logits, target), (logits.argmax(1) == target).float().mean()


class Views:
    """How views of pictures ``[n, 3, side, side]`` in [-1, 1] are made, each in its own way."""

    def __init__(self, config: ViewsConfig) -> None:
        self.config = config

    def __call__(self, pixels: Tensor, step: int, name: str) -> Tensor:
        """Make the step's views of a name."""
        rng = numpy_generator(self.config.seed, f"{name} view", step)
        view = self._cut(self._transplant(pixels, rng), rng)
        return self._cover(self._tint(view, rng), rng).contiguous(memory_format=torch.channels_last)

    def _transplant(self, pixels: Tensor, rng: np.random.Generator) -> Tensor:
        """Lay the middle of pictures over other pictures of the batch."""
        count, side = len(pixels), pixels.shape[-1]
        wide, high, x, y = (_draw(rng, count, pixels, *span) for span in (_WIDTHS, _HEIGHTS, _ACROSS, _DOWN))
        place = (torch.arange(side, device=pixels.device) + 0.5) / side
        across = ((place - x[:, None]) / wide[:, None]).square()
        down = ((place - y[:, None]) / high[:, None]).square()
        middle = torch.sigmoid((1 - down[:, :, None] - across[:, None]) * _SOFTNESS)[:, None]
        left_alone = _draw(rng, count, pixels, 0, 1) >= self.config.transplanted
        middle = torch.where(left_alone[_WIDE], torch.ones_like(middle), middle)
        others = torch.from_numpy(rng.permutation(count)).to(pixels.device)
        return pixels[others].lerp(pixels, middle)

    def _cut(self, pixels: Tensor, rng: np.random.Generator) -> Tensor:
        """Show a part of pictures, turned, every other one mirrored."""
        config, count = self.config, len(pixels)
        share, turn = _draw(rng, count, pixels, config.crop, 1), _draw(rng, count, pixels, -config.turn, config.turn)
        mirror = torch.from_numpy(rng.choice([-1.0, 1.0], count)).to(pixels)
        cosine, sine = share * turn.cos(), share * turn.sin()
        x, y = (_draw(rng, count, pixels, -1, 1) * (1 - share) for _ in range(2))
        theta = torch.stack([cosine * mirror, -sine, x, sine * mirror, cosine, y], 1).view(count, 2, 3)
        grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
        return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)

    def _tint(self, pixels: Tensor, rng: np.random.Generator) -> Tensor:
        """Change contrast, brightness and a little of the colours: whoever is blonde stays blonde."""
        config, count = self.config, len(pixels)
        contrast = _draw(rng, count, pixels, 1 - config.jitter, 1 + config.jitter)
        brightness = _draw(rng, count, pixels, -config.jitter, config.jitter)
        tints = torch.from_numpy(rng.uniform(1 - config.tint, 1 + config.tint, (count, 3, 1, 1))).to(pixels)
        return (pixels * contrast[_WIDE] * tints + brightness[_WIDE]).clamp(-1, 1)

    def _cover(self, pixels: Tensor, rng: np.random.Generator) -> Tensor:
        """Hide up to two patches behind single colours, so that no part alone decides."""
        count, side = len(pixels), pixels.shape[-1]
        place = (torch.arange(side, device=pixels.device) + 0.5) / side
        for _ in range(2):
            x, y = (_draw(rng, count, pixels, 0, 1) for _ in range(2))
            wide, high = (_draw(rng, count, pixels, *_PATCH) for _ in range(2))
            is_covered = _draw(rng, count, pixels, 0, 1) < self.config.covered
            across, down = (place - x[:, None]).abs() < wide[:, None], (place - y[:, None]).abs() < high[:, None]
            patch = (down[:, :, None] & across[:, None] & is_covered[:, None, None])[:, None]
            colours = torch.from_numpy(rng.uniform(-1, 1, (count, 3, 1, 1))).to(pixels)
            pixels = torch.where(patch, colours, pixels)
        return pixels


def _draw(rng: np.random.Generator, count: int, like: Tensor, low: float, high: float) -> Tensor:
    """Draw uniform numbers ``[count]`` of a tensor's type and device."""
    return torch.from_numpy(rng.uniform(low, high, count)).to(like)


class ViewsTask:
    """Embed two views of a picture more alike than those of different ones."""

    def __init__(self, network: PictureNetwork, painter: Painter, config: ViewsConfig) -> None:
        """Set up the task.

        Args:
            network: The network to train.
            painter: Who paints the pictures, on the network's device.
            config: Settings of the stage.
        """
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network, self.painter, self.config = network.train(), painter, config
        self.views = Views(config)
        width = 2 * config.projection
        self.projection = nn.Sequential(
            nn.Linear(config.embedding, width),
            nn.BatchNorm1d(width, track_running_stats=False),
            nn.ReLU(),
            nn.Linear(width, config.projection),
        ).to(painter.device)

    def groups(self) -> Sequence[ParameterGroup]:
        """Return the parameters of network and projection."""
        named = {
            **{f"network.{name}": parameter for name, parameter in self.network.named_parameters()},
            **{f"projection.{name}": parameter for name, parameter in self.projection.named_parameters()},
        }
        return group_parameters(named, self.config.learning_rate, self.config.weight_decay)

    def identity(self) -> dict[str, Any]:
        """Return the stage's settings, save how long it goes on."""
        return {"stage": "self-supervised encoder", **self.config.model_dump(mode="json", exclude={"steps"})}

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Compare two views of one batch of pictures with one subject each."""
        config = self.config
        specs = sample_batch(config.batch_size, config.seed, step, count=1)
        pixels = as_seen(self.painter.paint(plan(specs)), config.side)
        views = torch.cat([self.views(pixels, step, name) for name in ("first", "second")])
        one, other = self.projection(self.network(views)).float().chunk(2)
        loss, accuracy = contrastive_loss(one, other, config.temperature)
        return {"loss": loss, "accuracy": accuracy}

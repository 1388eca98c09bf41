"""DDIM in both directions: from latents to the noise they come from, and back (arXiv 2010.02502).

A deterministic DDIM step from a noisier level ``t`` to a cleaner one ``s`` is linear in the latents and the predicted
noise, ``x_s = A x_t + B eps(x_t, t)``. Its inverse, ``x_t = (x_s - B eps(x_t, t)) / A``, is an implicit equation. The
usual inversion evaluates eps at ``x_s`` in place of ``x_t``, which drifts; repeating the evaluation at the last ``x_t``
solves the equation (fixed-point inversion, arXiv 2309.04907), as long as the denoiser is smooth enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from portraitist.bases import Base
from portraitist.bases.families import Conditions, StableDiffusion
from portraitist.errors import BadConfig
from portraitist.generation.latents import predict
from portraitist.progress import track

if TYPE_CHECKING:
    from diffusers import DDIMScheduler

DEFAULT_STEPS = 50
DEFAULT_REFINEMENTS = 8
# Relative change between two iterates at which a step counts as solved; float32 does not get much further.
DEFAULT_TOLERANCE = 1e-5
_NEARLY_PARALLEL = 1e-4
# Anderson acceleration: past iterates combined, and what keeps their combination finite when they hardly differ.
_MEMORY = 4
_RIDGE = 1e-10


@dataclass(frozen=True)
class Level:
    """One step of the walk: from the noise level of a timestep down to the next cleaner one.

    Attributes:
        timestep: What the denoiser is told.
        alpha: Cumulative product of ``1 - beta`` at the timestep.
        alpha_below: The same at the cleaner level.
    """

    timestep: int
    alpha: float
    alpha_below: float


@dataclass(frozen=True)
class Inversion:
    """Noise found for latents.

    Attributes:
        noise: ``[n, c, h, w]``; sampling from it at guidance 1 with the same conditions returns the latents.
        residual: Largest relative change in the last refinement of any step: how far from solved the inversion is;
            None without refinements.
        evaluations: How often the denoiser ran.
    """

    noise: Tensor
    residual: float | None
    evaluations: int


class _Anderson:
    """Anderson acceleration of ``x = g(x)``: the next iterate from the last few, sample by sample.

    The combination of past iterates whose residuals cancel best also converges where ``x <- g(x)`` alone does not.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[Tensor, Tensor]] = []

    def next(self, point: Tensor, image: Tensor) -> Tensor:
        """Return the next iterate from a point and its image under g, both ``[n, ...]``."""
        self._steps = [*self._steps, (image.flatten(1), (image - point).flatten(1))][-_MEMORY:]
        if len(self._steps) == 1:
            return image
        images, residuals = (torch.stack(parts, dim=-1).double() for parts in zip(*self._steps, strict=True))
        # [n, d, m - 1] differences; their least-squares combination is taken off the newest image.
        differences = residuals.diff(dim=-1)
        gram = differences.mT @ differences
        gram = gram + _RIDGE * gram.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None] * torch.eye(gram.shape[-1]).to(
            gram
        )
        weights = torch.linalg.solve(gram, differences.mT @ residuals[..., -1:])
        mixed = images[..., -1:] - images.diff(dim=-1) @ weights
        return mixed.reshape(image.shape).to(image.dtype)


class Ddim:
    """DDIM on a base's noise schedule.

    Args:
        base: A base that predicts noise or velocity on a variance-preserving schedule.
        steps: Levels of the walk.

    Raises:
        BadConfig: If the base has no such schedule, or the number of steps cannot work.
    """

    def __init__(self, base: Base, steps: int = DEFAULT_STEPS) -> None:
        from diffusers import DDIMScheduler

        check_invertible(base)
        scheduler = DDIMScheduler.from_config(base.pipeline.scheduler.config)
        most = scheduler.config.num_train_timesteps
        if scheduler.config.timestep_spacing == "leading":  # the grid is moved up by the offset, and must not leave
            most -= scheduler.config.steps_offset
        if not 1 <= steps <= most:
            raise BadConfig(f"DDIM on {base.name} takes 1 to {most} steps, not {steps}")
        scheduler.set_timesteps(steps)
        self.base = base
        self.levels = _levels(scheduler)
        self._velocity = scheduler.config.prediction_type == "v_prediction"

    @torch.no_grad()
    def invert(
        self,
        latents: Tensor,
        conditions: Conditions,
        refinements: int = DEFAULT_REFINEMENTS,
        *,
        tolerance: float = DEFAULT_TOLERANCE,
        show_progress: bool = False,
    ) -> Inversion:
        """Find the noise that guidance-free sampling turns into the latents.

        Args:
            latents: ``[n, c, h, w]``.
            conditions: One row a picture.
            refinements: Fixed-point evaluations of each step at most; 0 is the usual, drifting inversion.
            tolerance: Relative change between two iterates at which a step counts as solved.
            show_progress: Whether to show a bar.
        """
        residual, evaluations = 0.0, 0
        with track(len(self.levels), "inverting", hidden=not show_progress) as progress:
            for level in reversed(self.levels):
                latents, change, count = self._climb(latents, level, conditions, refinements, tolerance)
                residual, evaluations = max(residual, change), evaluations + count
                progress.advance()
        return Inversion(latents, residual if refinements else None, evaluations)

    @torch.no_grad()
    def sample(
        self,
        noise: Tensor,
        conditions: Conditions,
        *,
        unconditional: Conditions | None = None,
        guidance: float = 1.0,
        eta: float = 0.0,
        generators: Sequence[torch.Generator] = (),
        start: int = 0,
        show_progress: bool = False,
    ) -> Tensor:
        """Walk from noise to latents.

        Args:
            noise: Latents at the first level walked from, ``[n, c, h, w]``.
            conditions: One row a picture.
            unconditional: Conditions of the negative prompt; needed where guidance is not 1.
            guidance: Weight of classifier-free guidance.
            eta: Fresh noise in every step, from 0 (none) to 1 (as much as in DDPM).
            generators: One a picture, on the CPU; needed where eta is not 0.
            start: Levels passed over, for latents that are noised in part only.
            show_progress: Whether to show a bar.
        """
        latents, levels = noise, self.levels[start:]
        guided = unconditional is not None and guidance != 1.0
        if unconditional is not None and guided:
            conditions = {name: torch.cat([value, unconditional[name]]) for name, value in conditions.items()}
        with track(len(levels), "sampling", hidden=not show_progress) as progress:
            for level in levels:
                if guided:
                    eps, away = self._noise(torch.cat([latents, latents]), level, conditions).chunk(2)
                    eps = away + guidance * (eps - away)
                else:
                    eps = self._noise(latents, level, conditions)
                latents = step_down(latents, eps, level, eta, _fresh_noise(latents, generators) if eta else None)
                progress.advance()
        return latents

    def noised(self, latents: Tensor, noise: Tensor, start: int) -> Tensor:
        """Return latents noised to the level that `sample` starts from."""
        alpha = self.levels[start].alpha
        return latents * alpha**0.5 + noise * (1 - alpha) ** 0.5

    def _climb(
        self, below: Tensor, level: Level, conditions: Conditions, refinements: int, tolerance: float
    ) -> tuple[Tensor, float, int]:
        """Invert one step; return the noisier latents, their last relative change and the evaluations spent."""
        above = step_up(below, self._noise(below, level, conditions), level)
        mixer, best, least = _Anderson(), above, float("inf")
        for count in range(1, refinements + 1):
            image = step_up(below, self._noise(above, level, conditions), level)
            change = relative_error(image, above)
            if change < least:
                best, least = image, change
            if change < tolerance:
                return best, least, 1 + count
            above = mixer.next(above, image)
        return best, least, 1 + refinements

    def _noise(self, latents: Tensor, level: Level, conditions: Conditions) -> Tensor:
        """Return the noise that the denoiser sees in the latents."""
        timesteps = torch.full((len(latents),), level.timestep)
        prediction = predict(self.base, latents, timesteps, conditions)
        if self._velocity:
            return prediction * level.alpha**0.5 + latents * (1 - level.alpha) ** 0.5
        return prediction


def check_invertible(base: Base) -> None:
    """Refuse a base whose noise is not DDIM's.

    Raises:
        BadConfig: Naming it.
    """
    if not isinstance(base.family, StableDiffusion):
        raise BadConfig(
            f"{base.name} is a {base.family.name} model, which DDIM cannot sample, so a picture cannot be inverted on"
            " it; use a Stable Diffusion (1.x, 2.x, XL) base"
        )


def step_down(latents: Tensor, eps: Tensor, level: Level, eta: float = 0.0, fresh: Tensor | None = None) -> Tensor:
    """Take one DDIM step to the cleaner level (eq. 12).

    Args:
        latents: Latents at the noisier level.
        eps: The noise predicted in them.
        level: The step.
        eta: Part of DDPM's fresh noise to add; 0 is deterministic.
        fresh: That noise, with unit variance.
    """
    alpha, below = level.alpha, level.alpha_below
    sigma = eta * ((1 - below) / (1 - alpha) * (1 - alpha / below)) ** 0.5
    clean = (latents - (1 - alpha) ** 0.5 * eps) / alpha**0.5
    lower = below**0.5 * clean + (1 - below - sigma**2) ** 0.5 * eps
    return lower if fresh is None else lower + sigma * fresh


def step_up(below: Tensor, eps: Tensor, level: Level) -> Tensor:
    """Undo `step_down` at eta 0, given the noise that was predicted there."""
    clean = (below - (1 - level.alpha_below) ** 0.5 * eps) / level.alpha_below**0.5
    return level.alpha**0.5 * clean + (1 - level.alpha) ** 0.5 * eps


def slerp(first: Tensor, second: Tensor, weight: float) -> Tensor:
    """Interpolate on the sphere between noises (SVDiff, eq. 7), each sample ``[c, h, w]`` as one vector.

    Args:
        first: ``[n, c, h, w]``, what weight 0 gives.
        second: The same shape, what weight 1 gives.
        weight: Position in between.
    """
    flat, other = first.flatten(1), second.flatten(1)
    cosine = torch.nn.functional.cosine_similarity(flat, other).clamp(-1, 1)
    angle = torch.arccos(cosine)[:, None]
    # Vectors that point the same way (or opposite ways) span no arc.
    straight = angle.sin().abs() < _NEARLY_PARALLEL
    sine = torch.where(straight, torch.ones_like(angle), angle.sin())
    near = torch.where(straight, torch.full_like(angle, 1 - weight), ((1 - weight) * angle).sin() / sine)
    far = torch.where(straight, torch.full_like(angle, weight), (weight * angle).sin() / sine)
    return (near * flat + far * other).reshape(first.shape)


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """Return ``|found - wanted| / |wanted|`` in the Frobenius norm; of a batch, the worst sample's."""
    difference, size = (found - wanted).flatten(1).norm(dim=1), wanted.flatten(1).norm(dim=1)
    return float((difference / size).max())


def _levels(scheduler: "DDIMScheduler") -> tuple[Level, ...]:
    """Return the steps from noise to latents, on the scheduler's own grid of timesteps."""
    timesteps = [int(timestep) for timestep in scheduler.timesteps]
    alphas = [float(scheduler.alphas_cumprod[timestep]) for timestep in timesteps]
    below = [*alphas[1:], float(scheduler.final_alpha_cumprod)]
    return tuple(Level(*values) for values in zip(timesteps, alphas, below, strict=True))


def _fresh_noise(latents: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    rows = [torch.randn(latents.shape[1:], generator=generator) for generator in generators]
    return torch.stack(rows).to(latents)

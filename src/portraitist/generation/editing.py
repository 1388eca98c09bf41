"""Editing one picture: start from the noise it comes from, or from the picture noised in part, with another prompt.

CoSINE (SVDiff, section 3.5) fine-tunes on the picture first and hands the adapter in here; without one, and without
inversion, this is SDEdit (arXiv 2108.01073).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from portraitist.adapters import Adapter, Attachment
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.exchange.compatibility import check_base
from portraitist.generation.inversion import (
    DEFAULT_REFINEMENTS,
    DEFAULT_STEPS,
    DEFAULT_TOLERANCE,
    Ddim,
    relative_error,
    slerp,
)
from portraitist.generation.latents import decode_latents, encode_conditions, encode_image, repeat_conditions
from portraitist.generation.sampling import merge_for_sampling
from portraitist.randomness import torch_generator


@dataclass(frozen=True)
class EditConfig:
    """How a picture is edited.

    Attributes:
        inversion: Start from the noise the picture comes from. Best for edits that keep the structure; removing or
            moving something works better without (SVDiff, figure 8).
        strength: How much of the structure may change, from 0 to 1. With inversion the weight of new noise in slerp
            (eq. 7); without, the part of the noise schedule the picture is noised by. When not given, 0 with
            inversion (as it comes) and 1 without (new noise, nothing of the picture but what was learnt).
        eta: Fresh noise in every sampling step, another way to structural edits; 0 is deterministic.
        guidance: Weight of classifier-free guidance while sampling; the authors' setting is 3. Inversion has none.
        steps: DDIM steps, both ways.
        refinements: Fixed-point evaluations of each step of the inversion at most; 0 is the usual inversion.
        tolerance: Relative change between two of them at which a step counts as solved.
        inverted_on: The prompt that conditions the inversion; the paper takes the target.
        negative_prompt: Negative prompt: what pictures should not show.
    """

    inversion: bool = True
    strength: float | None = None
    eta: float = 0.0
    guidance: float = 3.0
    steps: int = DEFAULT_STEPS
    refinements: int = DEFAULT_REFINEMENTS
    tolerance: float = DEFAULT_TOLERANCE
    inverted_on: Literal["target", "source"] = "target"
    negative_prompt: str = ""

    def __post_init__(self) -> None:
        for name in ("strength", "eta"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise BadConfig(f"{name} must be between 0 and 1, not {value:g}")
        if self.steps < 1 or self.refinements < 0 or self.guidance < 1:
            raise BadConfig("steps must be at least 1, refinements at least 0, guidance at least 1.0")
        if self.inverted_on not in ("target", "source"):
            raise BadConfig(f"inverted_on must be target or source, not {self.inverted_on!r}")
        if not self.inversion and self.strength == 0:
            raise BadConfig("strength 0 without inversion changes nothing; raise it, or use inversion")

    @property
    def resolved_strength(self) -> float:
        """Return the strength, or what it is when not given."""
        if self.strength is not None:
            return self.strength
        return 0.0 if self.inversion else 1.0


@dataclass(frozen=True)
class Edited:
    """What editing a picture gave.

    Attributes:
        results: One picture a seed.
        reconstruction: The picture again: with inversion, sampled from the noise found, at guidance 1 and with the
            prompt it was inverted on; without, sampled with the source prompt as the first result is with the target.
            None if it was not wanted.
        drift: Relative error of the reconstruction's latents; None without one.
        residual: How far from solved the inversion is; None without one, or without refinements.
        evaluations: Denoiser evaluations of the inversion.
    """

    results: tuple[Image.Image, ...]
    reconstruction: Image.Image | None
    drift: float | None
    residual: float | None
    evaluations: int


@dataclass(frozen=True)
class _Start:
    """Noise to sample from, one row a seed, and the levels passed over."""

    noise: Tensor
    level: int


def edit(
    base: Base,
    picture: Image.Image,
    source: str,
    target: str,
    adapter: Adapter | None = None,
    *,
    seeds: Sequence[int] = (0,),
    config: EditConfig | None = None,
    force: bool = False,
    reconstruct: bool = True,
    show_progress: bool = True,
) -> Edited:
    """Edit a picture towards another prompt.

    Args:
        base: The base model.
        picture: The picture, at the base's resolution.
        source: Prompt that describes it.
        target: Prompt that describes what it should become.
        adapter: What was learnt from the picture; None edits with the base as it is.
        seeds: One a result. Without new noise (inversion, strength 0, eta 0) all results are the same.
        config: How to edit.
        force: Use an adapter that was made for another base.
        reconstruct: Whether to make the picture again, too.
        show_progress: Whether to show bars.

    Raises:
        BadConfig: If the base cannot be inverted, a prompt is empty, or there is no seed.
        BaseMismatch: If the adapter was made for another base.
    """
    config = config or EditConfig()
    if not target.strip() or not seeds:
        raise BadConfig("an edit needs a target prompt and at least one seed")
    ddim = Ddim(base, config.steps)
    attachment = Attachment(base.components)
    if adapter is not None:
        check_base(adapter, base, force)
        attachment.attach(adapter)
    try:
        merge_for_sampling(base, attachment)
        latents = encode_image(base, picture)
        return _Editing(base, ddim, config, latents, reconstruct, show_progress).run(source, target, seeds)
    finally:
        attachment.detach()


@dataclass(frozen=True)
class _Editing:
    """One call of `edit`, with the adapter in place."""

    base: Base
    ddim: Ddim
    config: EditConfig
    latents: Tensor
    reconstruct: bool
    show_progress: bool

    def run(self, source: str, target: str, seeds: Sequence[int]) -> Edited:
        residual, evaluations, again = None, 0, None
        if self.config.inversion:
            prompt = target if self.config.inverted_on == "target" else source
            conditions = encode_conditions(self.base, [prompt], self.latents)
            inversion = self.ddim.invert(
                self.latents,
                conditions,
                self.config.refinements,
                tolerance=self.config.tolerance,
                show_progress=self.show_progress,
            )
            residual, evaluations = inversion.residual, inversion.evaluations
            if self.reconstruct:
                again = self.ddim.sample(inversion.noise, conditions)
            start = self._mixed(inversion.noise, seeds)
        else:
            start = self._noised(seeds)
            if self.reconstruct:
                again = self._sample(_Start(start.noise[:1], start.level), source, seeds[:1])
        results = self._sample(start, target, seeds)
        return Edited(
            results=tuple(decode_latents(self.base, results)),
            reconstruction=None if again is None else decode_latents(self.base, again)[0],
            drift=None if again is None else relative_error(again, self.latents),
            residual=residual,
            evaluations=evaluations,
        )

    def _mixed(self, noise: Tensor, seeds: Sequence[int]) -> _Start:
        """Turn the inverted noise towards new noise."""
        rows = noise.expand(len(seeds), *noise.shape[1:])
        strength = self.config.resolved_strength
        return _Start(slerp(rows, self._draw(seeds), strength) if strength else rows, level=0)

    def _noised(self, seeds: Sequence[int]) -> _Start:
        """Noise the picture by a part of the schedule; all of it leaves new noise only."""
        noise, strength = self._draw(seeds), self.config.resolved_strength
        if strength == 1:
            return _Start(noise, level=0)
        count = len(self.ddim.levels)
        level = count - max(1, round(strength * count))
        return _Start(self.ddim.noised(self.latents, noise, level), level)

    def _sample(self, start: _Start, prompt: str, seeds: Sequence[int]) -> Tensor:
        config, count = self.config, len(seeds)
        conditions, unconditional = (
            repeat_conditions(encode_conditions(self.base, [text], self.latents), count)
            for text in (prompt, config.negative_prompt)
        )
        return self.ddim.sample(
            start.noise,
            conditions,
            unconditional=unconditional,
            guidance=config.guidance,
            eta=config.eta,
            generators=[torch_generator(seed, "fresh noise") for seed in seeds],
            start=start.level,
            show_progress=self.show_progress,
        )

    def _draw(self, seeds: Sequence[int]) -> Tensor:
        """Return noise of one generator a seed, ``[seeds, c, h, w]``."""
        shape = self.latents.shape[1:]
        rows = [torch.randn(shape, generator=torch_generator(seed, "editing")) for seed in seeds]
        return torch.stack(rows).to(self.latents)

"""The loss on fixed noise and timesteps: between two moments of a run it changes only by what was learnt.

The loss of a training step depends on the timesteps it happened to draw more than on what was learnt, so a run can
learn well while the loss that it shows rises. Here the same pictures are noised in the same way every time.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, nan

from portraitist.bases import Base
from portraitist.randomness import torch_generator
from portraitist.training.denoising import denoising_errors
from portraitist.training.inputs.conditions import PromptBook
from portraitist.training.inputs.latents import Latents
from portraitist.training.recipes import Recipe
from portraitist.training.watching.watching import rows_of

FIXED_NOISE = "fixed_noise"  # what the loss on training photos is called in logs and files
# Of a run's passes through the denoiser, what measuring before and after it may take.
_SHARE = 0.015
# A loss over fewer noised pictures depends on which timesteps they got; more make it hardly any steadier.
_FEWEST_SAMPLES, _MOST_SAMPLES = 4, 32
_DECIMALS = 6


class FixedNoiseLoss:
    """The loss on some pictures, always with the same noise and timesteps.

    Args:
        base: The base, with the adapter attached.
        recipe: Whose batch size, seed and loss weighting are used.
        prompts: Encodes prompts as the adapter has them.
        pictures: Encoded pictures with their prompts; in buckets, one for each size.
        samples: How many noised pictures are measured; the pictures take turns.
        name: What it is called among what is measured.
    """

    def __init__(
        self, base: Base, recipe: Recipe, prompts: PromptBook, pictures: Sequence[Latents], samples: int, name: str
    ) -> None:
        self.base, self.recipe, self.prompts = base, recipe, prompts
        self.pictures, self.samples, self.name = pictures, samples, name
        if prompts.fixed:
            prompts.encode([prompt for bucket in pictures for prompt in bucket.prompts])  # text encoders are at hand

    def __call__(self) -> dict[str, float]:
        """Measure it; wrapped in `torch.no_grad`, as watches are, it keeps no gradients."""
        total, done = 0.0, 0
        for bucket, rows in self.batches():
            errors = denoising_errors(
                self.base,
                self.recipe,
                bucket.mean[rows],
                [bucket.framings[row] for row in rows],
                self.prompts.encode([bucket.prompts[row] for row in rows]),
                torch_generator(self.recipe.seed, self.name, done),
                weights=None if bucket.weights is None else bucket.weights[rows],
            )
            total += float(errors.sum())
            done += len(rows)
        return {self.name: total / self.samples}

    def batches(self) -> Iterator[tuple[Latents, list[int]]]:
        """Yield which pictures are measured together: those of one size, as many as in a training step."""
        places = [(number, row) for number, bucket in enumerate(self.pictures) for row in range(len(bucket))]
        stride = max(1, len(places) // self.samples)  # of many pictures, some from everywhere
        turns = [places[turn * stride % len(places)] for turn in range(self.samples)]
        for number, bucket in enumerate(self.pictures):
            rows = [row for of, row in turns if of == number]
            for start in range(0, len(rows), self.recipe.batch_size):
                yield bucket, rows[start : start + self.recipe.batch_size]


def affordable_samples(recipe: Recipe) -> int:
    """Return how many noised pictures are measured before a run, and again after it; 0 if it is too short for any.

    A picture that is trained on takes two passes, forward and backward, and one that is measured a single one.
    """
    samples = int(_SHARE * recipe.steps * rows_of(recipe))
    return min(samples, _MOST_SAMPLES) if samples >= _FEWEST_SAMPLES else 0


def before_and_after(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return losses as logs and adapters' files note them: ``fixed_noise_before``, ``fixed_noise_after``.

    Those that are not finite, or not known at both ends, are left out.
    """
    losses: dict[str, float] = {}
    for name, first in before.items():
        last = after.get(name, nan)
        if isfinite(first) and isfinite(last):
            losses |= {f"{name}_before": round(first, _DECIMALS), f"{name}_after": round(last, _DECIMALS)}
    return losses

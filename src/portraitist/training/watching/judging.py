"""What is sampled while an adapter is trained: pictures that encoders judge, and sheets of them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.evaluation.encoders import EmbedsTexts, Encoder, embed_captions, embed_images, load_encoder
from portraitist.evaluation.metrics.similarity import paired_cosine, pairwise_cosine
from portraitist.files import write_aside
from portraitist.generation import SamplingConfig, generate
from portraitist.generation.sheets import caption_sheet
from portraitist.training.memory import decoding_singly, pictures_at_once
from portraitist.training.recipes import Recipe
from portraitist.training.subjects import Subject

Awake = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Encoders:
    """What judges sampled pictures.

    Attributes:
        subject: Measures likeness to the subject's photos (DINO, or CLIP).
        prompt: Measures faithfulness to prompts; embeds texts as well (CLIP).
    """

    subject: Encoder | None = None
    prompt: Encoder | None = None

    @classmethod
    def of(cls, recipe: Recipe) -> "Encoders":
        """Load those a recipe names.

        Raises:
            BadConfig: If one is not there, or the second embeds no texts.
        """
        names = (recipe.watch.subject_encoder, recipe.watch.prompt_encoder)
        subject, prompt = (None if name is None else load_encoder(name) for name in names)
        return cls(subject, prompt)

    def __post_init__(self) -> None:
        if self.prompt is not None and not isinstance(self.prompt, EmbedsTexts):
            raise BadConfig(
                f"{self.prompt.name} does not embed text; watch.prompt_encoder needs an encoder such as CLIP"
            )

    def __bool__(self) -> bool:
        return self.subject is not None or self.prompt is not None

    @property
    def are_both(self) -> bool:
        """Say whether pictures get a score: likeness and faithfulness."""
        return self.subject is not None and self.prompt is not None


class ScoredPictures:
    """Pictures of a few fixed prompts with fixed seeds, judged by encoders.

    Args:
        base: The base, with the adapter attached.
        subject: Whose photos they are compared to.
        recipe: How many are sampled at once.
        prompts: What they show; ``{}`` becomes the subject.
        steps: Denoiser evaluations a picture.
        encoders: What judges them.
        awake: Brings what sampling needs back to the device for a while.
    """

    def __init__(
        self,
        base: Base,
        subject: Subject,
        recipe: Recipe,
        prompts: Sequence[str],
        steps: int,
        encoders: Encoders,
        awake: Awake,
    ) -> None:
        self.base, self.subject, self.recipe = base, subject, recipe
        self.prompts, self.steps = prompts, steps
        self.encoders, self.awake = encoders, awake
        self._photos = None if encoders.subject is None else embed_images(encoders.subject, subject.photos)

    def __call__(self) -> dict[str, float]:
        """Sample and judge."""
        with self.awake():
            prompts = [self.subject.prompt(template) for template in self.prompts]
            images = sample_pictures(self.base, self.recipe, prompts, self.steps)
        measured = {}
        if self._photos is not None and self.encoders.subject is not None:
            found = embed_images(self.encoders.subject, images)
            measured["likeness"] = float(pairwise_cosine(found, self._photos).mean())
        if self.encoders.prompt is not None:
            # The encoder has never heard the rare token, so the class noun alone stands for the subject.
            texts = [prompt.replace("{}", self.subject.class_noun) for prompt in self.prompts]
            captions = embed_captions(self.encoders.prompt, texts)  # type: ignore[arg-type]
            measured["faithfulness"] = float(paired_cosine(embed_images(self.encoders.prompt, images), captions).mean())
        return measured


def sample_pictures(base: Base, recipe: Recipe, prompts: Sequence[str], steps: int) -> list[Image.Image]:
    """Sample a picture of each prompt, from the same noise every time."""
    config = SamplingConfig(steps=steps, batch_size=pictures_at_once(base, recipe))
    with torch.autocast(base.device.type, enabled=False), decoding_singly(base):
        pictures = generate(base, list(prompts), config=config, show_progress=False)
    return [picture.image for picture in pictures]


def sheet_prompts(subjects: Sequence[Subject], recipe: Recipe) -> list[str]:
    """Return what a recipe's sheets of sample pictures show of subjects."""
    return [subject.prompt(prompt) for subject in subjects for prompt in recipe.log.sample_prompts]


class SampleSheets:
    """A callback that puts a sheet of sample pictures into the run's folder now and then.

    Args:
        base: The base, with the adapter attached.
        prompts: What the pictures show.
        recipe: How often, and how they are sampled.
        folder: The run's folder.
        awake: Brings what sampling needs back to the device for a while.
        averaged: Puts the averaged parameters in place for a while, where an average is kept.
    """

    def __init__(
        self, base: Base, prompts: Sequence[str], recipe: Recipe, folder: Path, awake: Awake, averaged: Awake
    ) -> None:
        self.base, self.prompts, self.recipe, self.folder = base, prompts, recipe, folder
        self.awake, self.averaged = awake, averaged

    def __call__(self, step: int) -> None:
        """Sample, if it is time."""
        log = self.recipe.log
        if step % log.samples_every:
            return
        with self.awake(), self.averaged(), torch.no_grad():
            images = sample_pictures(self.base, self.recipe, self.prompts, log.sampling_steps)
        with write_aside(self.folder / f"samples-{step:06d}.png") as temporary:
            caption_sheet(list(zip(images, self.prompts, strict=True))).save(temporary)

"""The demo: teach a base example subjects, and show them in places and styles they were never photographed in."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from portraitist.adapters import Adapter, save_adapter
from portraitist.bases import Base
from portraitist.bases.examples import Example
from portraitist.files import require_writable
from portraitist.generation import SamplingConfig, generate
from portraitist.studies.runs.engine import library_versions, machine_words
from portraitist.toyland.world.captions import SCENE_PHRASES, STYLE_PHRASES
from portraitist.toyland.world.scenes import PLAIN
from portraitist.training.personalise import train
from portraitist.training.recipes import Recipe
from portraitist.training.subjects import Subject

DEFAULT_SUBJECTS = ("person-c1ab37", "cat-1b7ecd")
SEEDS = (0, 1, 2)
_PLAIN = "in front of a plain blue background"
_SCENES = 4
# Prompts of a subject who is shown alone, and of each of several.
_MOST_PROMPTS, _PROMPTS_OF_SEVERAL = 8, 4
_ROOM = 20_000_000  # bytes for the picture and the page


@dataclass(frozen=True)
class Comparison:
    """A prompt, what the base alone makes of the class, and what it makes of the subject.

    Attributes:
        prompt: The prompt with the trigger.
        class_prompt: The prompt with the class noun only.
        before: The base's picture of the class prompt, with the first seed.
        after: The pictures of the prompt with the adapter, one a seed.
    """

    prompt: str
    class_prompt: str
    before: Image.Image
    after: tuple[Image.Image, ...]


@dataclass(frozen=True)
class Lesson:
    """One subject, and what became of it.

    Attributes:
        example: The example subject.
        subject: Its photos as they were trained on.
        adapter: What was learnt.
        adapter_file: The adapter's file.
        comparisons: The pictures.
    """

    example: Example
    subject: Subject
    adapter: Adapter
    adapter_file: Path
    comparisons: tuple[Comparison, ...]

    @property
    def trigger(self) -> str:
        """Return the words that mean the subject."""
        return f"{self.subject.token} {self.subject.class_noun}"

    @property
    def noun(self) -> str:
        """Return what kind of thing the subject is."""
        return self.subject.class_noun

    @property
    def training_seconds(self) -> float:
        """Return the time spent in training steps."""
        return float(self.adapter.provenance.training["seconds"])

    @property
    def size(self) -> int:
        """Return the bytes of the adapter's file."""
        return self.adapter_file.stat().st_size


@dataclass(frozen=True)
class Demo:
    """Everything the sheet and the page show.

    Attributes:
        lessons: The subjects, each taught alone.
        recipe: The resolved recipe.
        total_seconds: Time from the photos to the last picture, prior images included.
        base_parameters: Parameters of the denoiser and the text encoder.
        settings: Named facts about base, sampling, machine and versions.
    """

    lessons: tuple[Lesson, ...]
    recipe: Recipe
    total_seconds: float
    base_parameters: int
    settings: dict[str, str]

    @property
    def base_name(self) -> str:
        """Return the base's name for headings: of a folder, the last part."""
        return Path(self.settings["base"]).name.capitalize()


def choose_prompts(example: Example, count: int = _MOST_PROMPTS) -> list[str]:
    """Return up to eight prompts with ``{}`` for the subject: four scenes, three styles, one in company.

    No scene is one of the subject's photos'. Fewer prompts are the first of them: a scene, a style, a scene, company.
    """
    unseen = [phrases[0] for scene, phrases in SCENE_PHRASES.items() if scene not in example.scenes]
    places = [*unseen, *([] if PLAIN in example.scenes else [_PLAIN])][:_SCENES]
    first, second, third, fourth = places
    companion = "a cat" if example.class_noun == "robot" else "a red robot"

    def photo(place: str) -> str:
        return f"a photo of a {{}} {place}"

    def drawing(style: str, place: str) -> str:
        return STYLE_PHRASES[style][0].format(f"a {{}} {place}")

    prompts = [
        photo(first),
        drawing("watercolour", second),
        photo(third),
        f"a photo of a {{}} on the left and {companion} on the right {fourth}",
        photo(second),
        drawing("pixel art", third),
        photo(fourth),
        drawing("pencil sketch", first),
    ]
    return prompts[:count]


def run_demo(base: Base, examples: Sequence[Example], recipe: Recipe, folder: Path, sampling: SamplingConfig) -> Demo:
    """Teach the base example subjects, each alone, keep the adapters in the folder and make the pictures.

    Args:
        base: The base.
        examples: The example subjects.
        recipe: How to train.
        folder: Where adapter files go, named after subject and method; those that are there are replaced.
        sampling: How to make the pictures.
    """
    started = time.monotonic()
    sampling = sampling.for_base(base)
    require_writable(folder, _ROOM * len(examples))
    count = _MOST_PROMPTS if len(examples) == 1 else _PROMPTS_OF_SEVERAL
    lessons = tuple(_teach(base, example, recipe, folder, sampling, count) for example in examples)
    return Demo(
        lessons=lessons,
        recipe=recipe,
        total_seconds=time.monotonic() - started,
        base_parameters=sum(p.numel() for module in base.components.values() for p in module.parameters()),
        settings=_settings(base, sampling),
    )


def _teach(base: Base, example: Example, recipe: Recipe, folder: Path, sampling: SamplingConfig, count: int) -> Lesson:
    """Teach one subject, and make the pictures of so many prompts."""
    subject = Subject.from_folder(example.folder, example.class_noun, size=base.family.resolution)
    adapter = train(base, subject, recipe)
    file = folder / f"{example.name}-{recipe.method}.safetensors"
    save_adapter(adapter, file)
    comparisons = _compare(base, adapter, subject, choose_prompts(example, count), sampling)
    return Lesson(example, subject, adapter, file, comparisons)


def _compare(
    base: Base, adapter: Adapter, subject: Subject, templates: list[str], sampling: SamplingConfig
) -> tuple[Comparison, ...]:
    class_prompts = [template.format(subject.class_noun) for template in templates]
    prompts = [subject.prompt(template) for template in templates]
    before = generate(base, class_prompts, seeds=SEEDS[:1] * len(prompts), config=sampling)
    after = generate(
        base,
        [prompt for prompt in prompts for _ in SEEDS],
        adapter,
        seeds=SEEDS * len(prompts),
        config=sampling,
    )
    count = len(SEEDS)
    return tuple(
        Comparison(
            prompt=prompt,
            class_prompt=class_prompt,
            before=before[index].image,
            after=tuple(picture.image for picture in after[index * count : (index + 1) * count]),
        )
        for index, (prompt, class_prompt) in enumerate(zip(prompts, class_prompts, strict=True))
    )


def _settings(base: Base, sampling: SamplingConfig) -> dict[str, str]:
    return {
        "base": base.name,
        "fingerprint": base.fingerprint,
        "sampling": f"{sampling.scheduler}, {sampling.steps} steps, guidance {sampling.guidance:g}",
        "seeds of the pictures": ", ".join(map(str, SEEDS)),
        "machine": machine_words(),
        "threads": str(torch.get_num_threads()),
        "device": str(base.device),
        **library_versions(),
    }

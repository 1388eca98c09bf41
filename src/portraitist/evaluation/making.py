"""Making a protocol's pictures of an adapter, picture by picture into a folder; an interrupted run goes on."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from PIL import Image

from portraitist.adapters import Adapter
from portraitist.bases import Base
from portraitist.errors import BadConfig, BadFile
from portraitist.evaluation.protocol import Protocol, ProtocolSubject, fill
from portraitist.files import require_writable, write_aside
from portraitist.generation import SamplingConfig, generate
from portraitist.progress import Track

_SETTINGS, _TIMING = "settings.json", "timing.json"
# Pictures between two looks at the folder, in batches: an interruption loses no more than these.
_BATCHES = 2
_BYTES_PER_PICTURE = 1_000_000


@dataclass(frozen=True)
class Wanted:
    """A picture to make.

    Attributes:
        path: Where it goes.
        prompt: What the base reads.
        text: What a text encoder reads that measures it: without the token.
        seed: Seed of its noise.
    """

    path: Path
    prompt: str
    text: str
    seed: int


def list_prompts(protocol: Protocol, subject: ProtocolSubject, token: str) -> list[str]:
    """List what the base reads for a subject's pictures: its prompts in order, token and class filled in."""
    return [fill(template, f"{token} {subject.class_noun}") for template in protocol.templates(subject)]


def class_prompt(protocol: Protocol, subject: ProtocolSubject) -> str:
    """Return what pictures of a subject's class are made of."""
    return fill(protocol.class_prompt, subject.class_noun)


def plan_pictures(protocol: Protocol, subject: ProtocolSubject, token: str, folder: Path) -> list[Wanted]:
    """List the pictures of a subject, in the order of the prompts."""
    prompts = list_prompts(protocol, subject, token)
    return [
        Wanted(
            path=folder / f"{number:03d}-{seed}.png",
            prompt=prompt,
            text=fill(template, subject.class_noun),
            seed=seed,
        )
        for number, (template, prompt) in enumerate(zip(protocol.templates(subject), prompts, strict=True))
        for seed in range(protocol.images_per_prompt)
    ]


def plan_class_pictures(protocol: Protocol, subject: ProtocolSubject, folder: Path) -> list[Wanted]:
    """List the pictures of a subject's class, for PRES."""
    prompt = class_prompt(protocol, subject)
    return [Wanted(folder / f"class-{seed}.png", prompt, prompt, seed) for seed in range(protocol.class_images)]


def keep_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write down what the pictures of a folder are made with; refuse to go on with something else.

    Raises:
        BadConfig: Naming the setting that differs.
        BadFile: If what was written down is damaged.
        UnwritableFolder: If the folder cannot be written.
    """
    require_writable(folder)
    path, plain = folder / _SETTINGS, json.loads(json.dumps(settings))
    if path.exists():
        name, kept, new = _first_difference("", _read_notes(path), plain)
        if kept != new:
            raise BadConfig(
                f"{folder} holds pictures that were made with {name} {kept!r}, not {new!r}; choose another folder"
                " with -o"
            )
    with write_aside(path) as temporary:
        temporary.write_text(json.dumps(plain, indent=2) + "\n")


def _first_difference(name: str, one: Any, other: Any) -> tuple[str, Any, Any]:
    """Go down two JSON values to where they differ first; return the place's name and both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = [(key, one.get(key), other.get(key)) for key in sorted(one.keys() | other.keys())]
    elif isinstance(one, list) and isinstance(other, list):
        pairs = [(str(number), *both) for number, both in enumerate(zip_longest(one, other))]
    else:
        return name, one, other
    key, one, other = next((pair for pair in pairs if pair[1] != pair[2]), ("", None, None))
    return _first_difference(f"{name} {key}".strip(), one, other)


def make_pictures(
    base: Base, adapter: Adapter, wanted: Sequence[Wanted], config: SamplingConfig, progress: Track, force: bool = False
) -> None:
    """Make those pictures that are not there yet, and note how long it took."""
    missing = [picture for picture in wanted if not picture.path.exists()]
    progress.advance(len(wanted) - len(missing))
    if not missing:
        return
    folder = missing[0].path.parent
    require_writable(folder, len(missing) * _BYTES_PER_PICTURE)
    step = _BATCHES * config.batch_size
    for start in range(0, len(missing), step):
        chosen = missing[start : start + step]
        began = time.perf_counter()
        prompts, seeds = [one.prompt for one in chosen], [one.seed for one in chosen]
        pictures = generate(base, prompts, adapter, seeds=seeds, config=config, force=force, show_progress=False)
        _note_time(folder, len(chosen), time.perf_counter() - began)
        for one, picture in zip(chosen, pictures, strict=True):
            picture.save(one.path)
        progress.advance(len(chosen))


def open_pictures(wanted: Sequence[Wanted]) -> list[Image.Image]:
    """Open pictures that were made."""
    images = []
    for one in wanted:
        with Image.open(one.path, formats=["PNG"]) as image:
            images.append(image.convert("RGB"))
    return images


def _note_time(folder: Path, count: int, seconds: float) -> None:
    path = folder / _TIMING
    noted = _read_notes(path) if path.exists() else {"pictures": 0, "seconds": 0.0}
    noted = {"pictures": noted["pictures"] + count, "seconds": noted["seconds"] + seconds}
    with write_aside(path) as temporary:
        temporary.write_text(json.dumps(noted) + "\n")


def seconds_per_picture(folder: Path) -> float | None:
    """Return how long a picture took when the folder was made; None if nothing is noted."""
    path = folder / _TIMING
    if not path.exists():
        return None
    noted = _read_notes(path)
    return float(noted["seconds"] / noted["pictures"])


def _read_notes(path: Path) -> dict[str, Any]:
    """Read what was noted beside pictures.

    Raises:
        BadFile: If it is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadFile(f"{path} is damaged ({error}); remove {path.parent}, or choose another folder with -o") from error
    if not isinstance(content, dict):
        raise BadFile(f"{path} is damaged (no mapping); remove {path.parent}, or choose another folder with -o")
    return content


def sampling_facts(config: SamplingConfig) -> dict[str, Any]:
    """Return the sampler's settings that change pictures."""
    return {name: value for name, value in asdict(config).items() if name != "batch_size"}

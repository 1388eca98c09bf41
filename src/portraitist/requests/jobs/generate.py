"""Carrying out a `GenerateRequest`."""

from pathlib import Path
from typing import Any

from portraitist.exchange.compatibility import base_warning
from portraitist.exchange.loading import load_for
from portraitist.files import file_name, write_unused
from portraitist.generation import Picture, Region, SheetRow, contact_sheet, generate
from portraitist.generation.prompts import prompt_warning
from portraitist.requests.advice import Advice
from portraitist.requests.choices import RegionChoice
from portraitist.requests.generate import GenerateRequest
from portraitist.requests.handle import Handle
from portraitist.requests.jobs.job import Job
from portraitist.requests.jobs.opening import open_base
from portraitist.requests.value import Value

_SHEET = "sheet.png"


class GeneratePlan(Value):
    """What sampling will do.

    Attributes:
        base: The base's name.
        precision: What it is held in, e.g. ``float32``.
        adapters: Scales of adapters by name.
        pictures: How many pictures.
        resolution: Of the pictures, in pixels.
        steps: Sampling steps of each.
        guidance: Weight of classifier-free guidance.
        scheduler: Name of the sampling schedule.
    """

    base: str
    precision: str
    adapters: dict[str, float]
    pictures: int
    resolution: int
    steps: int
    guidance: float
    scheduler: str


class Generated(Value):
    """What came of sampling.

    Attributes:
        pictures: Paths of the pictures, in the order of the prompts and seeds.
        sheet: Path of a sheet of them, a row for each prompt.
    """

    pictures: tuple[Path, ...]
    sheet: Path


class GenerateJob(Job[GeneratePlan, Generated]):
    """Sampling whose base and adapters are loaded.

    Args:
        request: What is asked.

    Raises:
        PortraitistError: If it cannot be done, in one line.
    """

    def __init__(self, request: GenerateRequest) -> None:
        request.check()
        self.request = request
        chosen = request.all_adapters
        self.base, self.advice = open_base(request.base, [each.file for each in chosen])
        self.advice = [*request.hints(), *self.advice]
        self.adapters = {
            request.names[each.file]: (load_for(self.base, each.file, request.force), each.scale) for each in chosen
        }
        texts = [", ".join([prompt, *(region.prompt for region in request.regions)]) for prompt in request.prompts]
        for adapter, _ in self.adapters.values():
            lines = (base_warning(adapter, self.base), *(prompt_warning(text, adapter) for text in texts))
            self.advice += [Advice.of(line) for line in lines if line is not None]
        config = request.config.for_base(self.base)
        self.plan = GeneratePlan(
            base=self.base.name,
            precision=self.base.precision,
            adapters={name: scale for name, (_, scale) in self.adapters.items()},
            pictures=len(request.prompts) * request.count,
            resolution=self.base.family.resolution,
            steps=config.steps,
            guidance=config.guidance,
            scheduler=config.scheduler,
        )

    def run(self, handle: Handle | None = None) -> Generated:
        """Sample the pictures, write them with a sheet, and return where; nothing that is there is overwritten."""
        handle, request, total = handle or Handle(), self.request, self.plan.pictures
        pictures = generate(
            self.base,
            [prompt for prompt in request.prompts for _ in range(request.count)],
            {name: (adapter.to(self.base.device), scale) for name, (adapter, scale) in self.adapters.items()},
            seeds=[request.seed + index for _ in request.prompts for index in range(request.count)],
            config=request.config,
            regions=[self._region(region) for region in request.regions],
            force=request.force,
            plain_seeds=request.plain_seed,
            callback=lambda done: handle.report("sampling", done, total),
        )
        return _save(pictures, request.count, request.output)

    def _region(self, choice: RegionChoice) -> Region:
        """Return a region whose adapter goes by its name."""
        adapter = None if choice.adapter is None else self.request.names[choice.adapter.file]
        shares = {"base_ratio": choice.base_ratio, "start": choice.start}
        given: dict[str, Any] = {name: value for name, value in shares.items() if value is not None}
        return Region(choice.place, choice.prompt, adapter, **given)


def _save(pictures: list[Picture], count: int, folder: Path) -> Generated:
    """Write the pictures and a sheet of them beside whatever is there."""
    paths = [
        write_unused(folder / f"{slug(picture.prompt)}-{picture.seed}.png", picture.write_png) for picture in pictures
    ]
    rows = [pictures[start : start + count] for start in range(0, len(pictures), count)]
    sheet = contact_sheet([SheetRow(row[0].prompt, [picture.image for picture in row]) for row in rows])
    return Generated(pictures=tuple(paths), sheet=write_unused(folder / _SHEET, sheet.save))


def slug(prompt: str) -> str:
    """Turn a prompt into a file name."""
    return file_name(prompt.lower(), "picture")

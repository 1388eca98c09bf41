"""``portraitist generate``: prompts and adapters to pictures."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portraitist.cli.options import (
    DEFAULT_BASE,
    BaseDtypeOption,
    DeviceOption,
    OtherBaseOption,
    choose_device,
    choose_dtype,
    name_files,
    parse_adapter,
)
from portraitist.cli.reporting import fact, warn

if TYPE_CHECKING:
    from portraitist.generation import Picture, Region

_SLUG_LENGTH = 60
_SHEET = "sheet.png"


def generate(
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT...", help="What to show.", show_default=False)],
    adapter: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE[:SCALE]", help="An adapter of any format; may be given several times."),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLACE=PROMPT[@FILE[:SCALE]]",
            help="A part of the pictures with a prompt, and perhaps an adapter, of its own. PLACE is left, right, top,"
            " bottom, a box x0,y0,x1,y1 in shares of the picture, or a mask: a picture that is white inside.",
        ),
    ] = None,
    base_ratio: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="How much of the whole picture's prompt is heard inside regions; usually 0.5."),
    ] = None,
    region_start: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="When regions begin to be heard: 0 is with the noise, 1 never; before, the picture is laid out for the"
            " whole prompt; usually 0.15.",
        ),
    ] = None,
    base: OtherBaseOption = None,
    base_dtype: BaseDtypeOption = None,
    resolution: Annotated[
        int | None, typer.Option(help="Side of the pictures, in pixels; that of the adapter's photos when not given.")
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Pictures of each prompt.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first picture; the next ones count up.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Denoiser steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Weight of classifier-free guidance; 1 is none.")] = None,
    negative: Annotated[str | None, typer.Option(help="What to keep away from.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="dpm, ddim or euler; the base's usual one.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the pictures.")] = Path("pictures"),
    force: Annotated[bool, typer.Option("--force", help="Use an adapter that was made for another base.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Make pictures of prompts, with any adapters; the base is the one the adapter was made for."""
    from portraitist.files import require_writable
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    from portraitist.generation import (
        Region,
        SamplingConfig,
        base_warning,
        load_base_of,
        load_for,
        prompt_warning,
    )
    from portraitist.generation import generate as sample

    regions = [Region.parse(text) for text in region or []]
    asked = {"base_ratio": base_ratio, "start": region_start}
    shares: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    regions = [replace(place, **shares) for place in regions]
    chosen = _with_those_of_regions([parse_adapter(text) for text in adapter or []], regions)
    given = {"steps": steps, "guidance": guidance, "negative_prompt": negative, "scheduler": scheduler}
    settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    config = SamplingConfig(**settings)
    files = [path for path, _ in chosen]
    names = name_files(files)
    require_writable(output)
    name = base or (None if files else DEFAULT_BASE)
    loaded = load_base_of(files, name, choose_device(device), choose_dtype(base_dtype), resolution)
    adapters = [(path, load_for(loaded, path, force), scale) for path, scale in chosen]
    texts = [", ".join([prompt, *(place.prompt for place in regions)]) for prompt in prompts]
    for _, one, _ in adapters:
        for line in filter(None, (base_warning(one, loaded), *(prompt_warning(text, one) for text in texts))):
            warn(line)
    pictures = sample(
        loaded,
        [prompt for prompt in prompts for _ in range(count)],
        {names[path]: (one.to(loaded.device), scale) for path, one, scale in adapters},
        seeds=[seed + index for _ in prompts for index in range(count)],
        config=config,
        regions=[
            place if place.adapter is None else replace(place, adapter=names[parse_adapter(place.adapter)[0]])
            for place in regions
        ],
        force=force,
    )
    _save(pictures, count, output)


def _with_those_of_regions(chosen: list[tuple[Path, float]], regions: "list[Region]") -> list[tuple[Path, float]]:
    """Return the adapters with those that only regions name."""
    everything = list(chosen)
    for place in regions:
        if place.adapter is not None:
            path, scale = parse_adapter(place.adapter)
            if path not in [known for known, _ in everything]:
                everything.append((path, scale))
    return everything


def _save(pictures: "list[Picture]", count: int, folder: Path) -> None:
    """Write the pictures and a sheet of them; nothing that is there is overwritten."""
    from portraitist.files import write_aside
    from portraitist.generation import Row, contact_sheet

    for picture in pictures:
        picture.save(_unused(folder / f"{slug(picture.prompt)}-{picture.seed}.png"))
    rows = [pictures[start : start + count] for start in range(0, len(pictures), count)]
    sheet = _unused(folder / _SHEET)
    with write_aside(sheet) as temporary:
        contact_sheet([Row(row[0].prompt, [picture.image for picture in row]) for row in rows]).save(temporary)
    fact("written", f"{len(pictures)} picture{'s' * (len(pictures) > 1)} in {folder}")
    fact("sheet", str(sheet))


def slug(prompt: str) -> str:
    """Turn a prompt into a file name."""
    words = re.sub(r"[^\w]+", "-", prompt.lower()).strip("-_")
    return words[:_SLUG_LENGTH].rstrip("-_") or "picture"


def _unused(path: Path) -> Path:
    """Return a path that does not exist yet, numbered if need be."""
    number, free = 2, path
    while free.exists():
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
        number += 1
    return free

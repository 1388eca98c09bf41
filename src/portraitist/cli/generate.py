"""``portraitist generate``: prompts and adapters to pictures."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from portraitist.cli.options import BaseDtypeOption, DeviceOption, OtherBaseOption
from portraitist.cli.reporting import advise, fact
from portraitist.errors import BadConfig
from portraitist.units import counted

# So many words without quotes are rather one prompt than several.
_FEWEST_WORDS = 3


def generate(
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT...", help="What to show.", show_default=False)],
    adapter: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE[:SCALE]", help="An adapter of any format; may be repeated."),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLACE=PROMPT[@FILE[:SCALE]]",
            help="A region of the picture with its own prompt and optionally its own adapter. PLACE is left, right,"
            " top, bottom, a box x0,y0,x1,y1 as fractions of the picture, or a mask: an image that is white inside.",
        ),
    ] = None,
    base_ratio: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="How strongly the main prompt counts inside regions, from 0 to 1; 0.5 by default."
        ),
    ] = None,
    region_start: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Fraction of the sampling after which regions take effect; until then the main prompt lays out the"
            " picture. 0 is from the start, 1 never; 0.15 by default.",
        ),
    ] = None,
    base: OtherBaseOption = None,
    base_dtype: BaseDtypeOption = None,
    resolution: Annotated[
        int | None,
        typer.Option(help="Resolution of the pictures, in pixels; by default that of the adapter's training photos."),
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Pictures per prompt.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first picture; the others follow consecutively.")] = 0,
    plain_seed: Annotated[
        bool,
        typer.Option(
            "--plain-seed",
            help="Draw the starting noise as other programs do, so that the same seed gives the same noise.",
        ),
    ] = False,
    steps: Annotated[int | None, typer.Option(help="Sampling steps.")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Scale of classifier-free guidance; 1 switches it off.")
    ] = None,
    negative: Annotated[str | None, typer.Option(help="Negative prompt.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="dpm, ddim or euler; by default the base's usual one.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the pictures.")] = Path("pictures"),
    force: Annotated[bool, typer.Option("--force", help="Use an adapter that was made for another base.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Generate pictures from prompts, with any adapters; by default on the base they were made for."""
    from portraitist.progress import quiet_libraries
    from portraitist.requests.choices import AdapterChoice, BaseChoice, RegionChoice
    from portraitist.requests.generate import GenerateRequest

    if len(prompts) >= _FEWEST_WORDS and not any(" " in prompt.strip() for prompt in prompts):
        raise BadConfig(
            f"these are {len(prompts)} prompts of one word each; if they are one, put it in quotes:"
            f" portraitist generate {shlex.quote(' '.join(prompts))}"
        )
    request = GenerateRequest(
        prompts=tuple(prompts),
        adapters=tuple(AdapterChoice.parse_text(text) for text in adapter or []),
        regions=tuple(RegionChoice.parse_text(text, base_ratio, region_start) for text in region or []),
        base=BaseChoice(name=base, device=device, precision=base_dtype, resolution=resolution),
        count=count,
        seed=seed,
        plain_seed=plain_seed,
        steps=steps,
        guidance=guidance,
        negative=negative,
        scheduler=scheduler,
        output=output,
        force=force,
    )
    request.check()
    quiet_libraries()
    from portraitist.requests.jobs.generate import GenerateJob

    job = GenerateJob(request)
    advise(job.advice)
    generated = job.run()
    fact("written", f"{counted(len(generated.pictures), 'picture')} in {output}")
    fact("sheet", str(generated.sheet))

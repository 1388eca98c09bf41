"""``portraitist strip``: from one adapter to another, in pictures of the same noise."""

from pathlib import Path
from typing import Annotated, Any

import typer

from portraitist.cli.options import DeviceOption, OtherBaseOption
from portraitist.cli.reporting import fact
from portraitist.requests.devices import choose_device


def strip(
    first: Annotated[Path, typer.Argument(help="The adapter to start from.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="The adapter to end with.", show_default=False)],
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT...", help="One row each.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="The picture.")] = Path("strip.png"),
    count: Annotated[int, typer.Option("-n", "--count", min=2, help="Pictures per row, including both ends.")] = 7,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise, shared by all pictures.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps.")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Scale of classifier-free guidance; 1 switches it off.")
    ] = None,
    negative: Annotated[str | None, typer.Option(help="Negative prompt.")] = None,
    base: OtherBaseOption = None,
    force: Annotated[bool, typer.Option("--force", help="Use adapters that were made for another base.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Overwrite an existing picture.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Blend one adapter into another in equal steps, with the same seed; labels give the second adapter's share."""
    from portraitist.files import require_unused, require_writable, write_aside
    from portraitist.locks import output_held
    from portraitist.progress import quiet_libraries

    with output_held(output, "a strip", lambda: require_unused(output, overwrite)):
        quiet_libraries()
        from portraitist.exchange.loading import load_base_of, load_for
        from portraitist.generation import SamplingConfig
        from portraitist.generation.strips import draw_strip, interpolation_strip

        given = {"steps": steps, "guidance": guidance, "negative_prompt": negative}
        settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        config = SamplingConfig(scheduler="ddim", **settings)
        require_writable(output.parent)
        loaded = load_base_of([first, second], base, choose_device(device))
        one, other = (load_for(loaded, path, force) for path in (first, second))
        rows = interpolation_strip(loaded, one, other, prompts, count=count, seed=seed, config=config, force=force)
        with write_aside(output) as temporary:
            draw_strip(rows).save(temporary, format="PNG")
    fact("written", str(output))

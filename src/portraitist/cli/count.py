"""``portraitist count``: how many parameters an adapter has, without weights."""

from pathlib import Path
from typing import Annotated

import typer

from portraitist.bases.spelling import architecture_name
from portraitist.cli.options import parse_settings
from portraitist.cli.reporting import fact


def count(
    method: Annotated[str, typer.Option(help="A name of `portraitist methods`.")],
    base: Annotated[str, typer.Option(help="sd15, sd21, sdxl, flux, or a folder in the diffusers layout.")] = "sd15",
    layers: Annotated[str | None, typer.Option(help="A layer set or pattern; by default the paper's set.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of the method, e.g. rank=8; token_ids=[1,2] for two new vectors of textual-inversion.",
        ),
    ] = None,
) -> None:
    """Count an adapter's layers and parameters on an architecture; nothing is downloaded."""
    base = architecture_name(base)
    from portraitist.training.planning.architectures import read_architecture
    from portraitist.training.planning.counts import count_adapter

    architecture = None if Path(base).is_dir() else read_architecture(base)
    if architecture is None:
        from portraitist.training.planning.listing import list_layers

        architecture = list_layers(base)
    result = count_adapter(architecture, Path(base).name, method, parse_settings(settings or []), layers)
    fact("layers", f"{result.layers}")
    fact("parameters", f"{result.parameters:,}")
    for dtype, size in result.bytes().items():
        fact(dtype, f"{size:,} bytes")
    fact(
        "of full",
        f"{result.parameters / result.full:.4%} of {result.full:,} parameters,"
        f" {result.full / result.parameters:,.0f} times smaller",
    )
    if result.lora:
        fact("of lora", f"{result.parameters / result.lora:.1%} of {result.lora:,} (rank 4 on the same layers)")

"""Options that several subcommands share, and values that are parsed by hand."""

import math
from typing import Annotated, Any

import typer

from portraitist.errors import BadConfig
from portraitist.reading import parse_yaml

_BASE_HELP = (
    "toyland, a folder in the diffusers layout, a .safetensors checkpoint of Stable Diffusion 1.x, 2.x, XL or (with"
    " @FOLDER of a whole model) FLUX.1, or a hub id, optionally with @revision, which is fetched if it is not here."
)
BaseOption = Annotated[str, typer.Option("--base", help=_BASE_HELP)]
OtherBaseOption = Annotated[
    str | None, typer.Option("--base", help=f"{_BASE_HELP} By default the one the adapter names.")
]
BaseDtypeOption = Annotated[
    str | None,
    typer.Option(
        help="Precision of the frozen base: fp16, bf16 or fp32. By default bf16 on a GPU (fp16 if it lacks bf16),"
        " fp32 elsewhere."
    ),
]
BaseBitsOption = Annotated[
    int | None,
    typer.Option(
        help="Quantise the base's linear weights to 8 or 4 bits (bitsandbytes); for lora, krona, loha and lidb."
    ),
]
ResolutionOption = Annotated[
    int | None, typer.Option(help="Resolution of the pictures, in pixels; by default the one the base was trained on.")
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda or mps; auto takes the fastest available.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the recipe, e.g. method_config.rank=8."),
]
SplitOption = Annotated[
    str,
    typer.Option(help="Which identities: validation (for choosing settings), test, or train (seen by the base)."),
]
RankOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Maximum rank of the LoRA that an adapter of another method becomes. By default low-rank changes stay"
        " exact, and full-rank changes keep their 64 largest components.",
    ),
]
DtypeOption = Annotated[str | None, typer.Option(help="Precision of the output: fp16, bf16 or fp32.")]


def parse_weights(text: str | None) -> list[float] | None:
    """Parse ``0.7,0.3``; None stays.

    Raises:
        BadConfig: If they are no finite numbers.
    """
    if text is None:
        return None
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise BadConfig(f"--weights takes numbers such as 0.7,0.3, not {text!r}") from error
    if not all(map(math.isfinite, weights)):
        raise BadConfig(f"--weights takes finite numbers, not {text!r}")
    return weights


def parse_settings(pairs: list[str] | None) -> dict[str, Any]:
    """Parse ``name=value`` pairs; values are YAML, dots in names nest.

    Raises:
        BadConfig: If one is no such pair.
    """
    settings: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, text = pair.partition("=")
        path = name.strip().split(".")
        if not equals or not all(path):
            raise BadConfig(f"--set takes name=value, such as learning_rate=1e-4, not {pair!r}")
        if path == ["method"]:
            raise BadConfig("choose the method with --method, which also selects its recipe")
        place = settings
        for step in path[:-1]:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise BadConfig(f"--set gives {step!r} both a value and parts")
        place[path[-1]] = _parse_value(pair, text)
    return settings


def _parse_value(pair: str, text: str) -> Any:
    try:
        value = parse_yaml(text)
    except ValueError as error:
        raise BadConfig(f"--set {pair}: {text!r} is not YAML") from error
    try:
        return float(value) if isinstance(value, str) else value  # YAML 1.1 reads 1e-4 as text
    except ValueError:
        return value

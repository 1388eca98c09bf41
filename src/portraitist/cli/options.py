"""Options that several subcommands share, and values that are parsed by hand."""

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from portraitist.errors import BadConfig

DEFAULT_BASE = "toyland"

_BASE_HELP = "toyland, a folder in the diffusers layout, or a hub id."
BaseOption = Annotated[str, typer.Option("--base", help=_BASE_HELP)]
OtherBaseOption = Annotated[
    str | None, typer.Option("--base", help=f"{_BASE_HELP} The one the adapter names when not given.")
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, mps; auto takes the fastest there is.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the recipe, e.g. method_config.rank=8."),
]


def choose_device(name: str) -> str:
    """Return the device to work on, checked.

    Raises:
        BadConfig: If there is none of this name here.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BadConfig(f"there is no device {name!r} here; use --device cpu") from error
    return name


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
            raise BadConfig(f"--set wants name=value, such as learning_rate=1e-4, not {pair!r}")
        if path == ["method"]:
            raise BadConfig("choose the method with --method, so that its recipe is used")
        place = settings
        for step in path[:-1]:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise BadConfig(f"--set gives {step!r} both a value and parts")
        place[path[-1]] = _parse_value(pair, text)
    return settings


def _parse_value(pair: str, text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadConfig(f"--set {pair}: {text!r} is not YAML") from error
    try:
        return float(value) if isinstance(value, str) else value  # YAML 1.1 reads 1e-4 as text
    except ValueError:
        return value


def parse_adapter(text: str) -> tuple[Path, float]:
    """Parse ``FILE`` or ``FILE:SCALE``."""
    name, colon, number = text.rpartition(":")
    if colon and not Path(text).exists():
        try:
            return Path(name), float(number)
        except ValueError:
            pass
    return Path(text), 1.0

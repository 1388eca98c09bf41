"""Options that several subcommands share, and values that are parsed by hand."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from portraitist.errors import BadConfig

if TYPE_CHECKING:
    import torch

DEFAULT_BASE = "toyland"

_BASE_HELP = (
    "toyland, a folder in the diffusers layout, a .safetensors checkpoint of Stable Diffusion 1.x, 2.x or XL, or a hub"
    " id, perhaps with @revision."
)
BaseOption = Annotated[str, typer.Option("--base", help=_BASE_HELP)]
OtherBaseOption = Annotated[
    str | None, typer.Option("--base", help=f"{_BASE_HELP} The one the adapter names when not given.")
]
BaseDtypeOption = Annotated[
    str | None, typer.Option(help="Precision of the frozen base: fp16, bf16 or fp32; fp32 when not given.")
]
BaseBitsOption = Annotated[
    int | None,
    typer.Option(help="Hold the base's linear weights in 8 or 4 bits (bitsandbytes); for lora, krona and lidb."),
]
ResolutionOption = Annotated[
    int | None, typer.Option(help="Side of the pictures, in pixels; the one the base was trained on when not given.")
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, mps; auto takes the fastest there is.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the recipe, e.g. method_config.rank=8."),
]
SplitOption = Annotated[
    str,
    typer.Option(help="Identities: validation, to choose settings on; test; or train, which the base has seen."),
]
RankOption = Annotated[
    int | None,
    typer.Option(min=1, help="Highest rank of a LoRA that it becomes; what is exact when not given, at most 64 else."),
]
DtypeOption = Annotated[str | None, typer.Option(help="Precision of what is written: fp16, bf16 or fp32.")]
_RANK = "LOCAL_RANK"  # of this process among those launched on the machine, set by torchrun and accelerate
_DTYPES = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}


def choose_dtype(name: str | None) -> "torch.dtype | None":
    """Return the precision of a name; None stays.

    Raises:
        BadConfig: If there is none of this name.
    """
    if name is None:
        return None
    if name not in _DTYPES:
        raise BadConfig(f"unknown precision {name!r}; choose one of {', '.join(_DTYPES)}")
    import torch

    return getattr(torch, _DTYPES[name])  # type: ignore[no-any-return]


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
        raise BadConfig(f"--weights wants numbers such as 0.7,0.3, not {text!r}") from error
    if not all(map(math.isfinite, weights)):
        raise BadConfig(f"--weights wants finite numbers, not {text!r}")
    return weights


def choose_device(name: str) -> str:
    """Return the device to work on, checked; of several processes on a machine each gets its own GPU.

    Raises:
        BadConfig: If there is none of this name here.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "cuda" and _RANK in os.environ:
        name = f"cuda:{os.environ[_RANK]}"
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


def name_files(paths: Sequence[Path]) -> dict[Path, str]:
    """Name adapters by their files; a second one of the same name by its whole path.

    Raises:
        BadConfig: If one is given twice.
    """
    names: dict[Path, str] = {}
    for path in paths:
        if path in names:
            raise BadConfig(f"{path} is given twice; give it once, with the sum of the scales")
        names[path] = path.name if path.name not in names.values() else str(path)
    return names


def parse_adapter(text: str) -> tuple[Path, float]:
    """Parse ``FILE`` or ``FILE:SCALE``.

    Raises:
        BadConfig: If the scale is no finite number.
    """
    name, colon, number = text.rpartition(":")
    if colon and not Path(text).exists():
        try:
            scale = float(number)
        except ValueError:
            return Path(text), 1.0
        if not math.isfinite(scale):
            raise BadConfig(f"the scale of an adapter is a finite number, not {number} as in {text}")
        return Path(name), scale
    return Path(text), 1.0

"""``portraitist inspect``: what a file is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from portraitist.cli.reporting import fact, say
from portraitist.training.watching.outcomes import kept_words, loss_words
from portraitist.units import counted, in_bytes, in_time

if TYPE_CHECKING:
    from portraitist.exchange.inspection import Inspection

_LISTED = 3
_LONGEST = 1e9  # seconds of training that are believed


def inspect(
    file: Annotated[Path, typer.Argument(help="An adapter, or any safetensors file.", show_default=False)],
    base: Annotated[
        str | None, typer.Option(help="The adapter's base, for formats that cannot be read without it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show and verify what an adapter of any format holds; say what any other safetensors file appears to be."""
    from portraitist.exchange.inspection import inspect_quickly

    found = inspect_quickly(file) or _inspect_whole(file, base)
    if as_json:
        typer.echo(found.to_json())
        return
    fact("file", str(found.path))
    fact("what", found.seems)
    parameters, tensors = counted(found.parameters, "parameter"), counted(found.tensors, "tensor")
    fact("size", f"{in_bytes(found.size)}, {parameters} in {tensors}")
    fact("precision", ", ".join(f"{dtype} ({count})" for dtype, count in found.dtypes.items()))
    if found.thumbnail is not None:
        fact("thumbnail", found.thumbnail)
    if found.is_adapter:
        _show_adapter(found)


def _inspect_whole(file: Path, base: str | None) -> "Inspection":
    """Describe a file that takes torch to be understood, and perhaps a base."""
    from portraitist.exchange.inspecting import inspect_file

    if base is None:
        return inspect_file(file)
    from portraitist.bases import load_base
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    return inspect_file(file, load_base(base).components)


def _show_adapter(found: "Inspection") -> None:
    header = found.header
    fact("format", str(found.format))
    if found.obstacle is not None:
        fact("layers", f"{found.obstacle}; name it with --base")
        return
    layers = (
        f"{component}: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}"
        for component, kinds in found.layers.items()
    )
    fact("method", ", ".join([str(header.get("method")), *_pairs(header.get("config"))]))
    fact("layers", "; ".join(layers))
    base = _mapping(header.get("base"))
    if base:
        fact("base", f"{base.get('name', 'not named')} (fingerprint {base.get('fingerprint', 'unknown')})")
    else:
        fact("base", f"not named; apparently {found.base}" if found.base else "not named")
    fact("trigger", str(header.get("trigger", "none")))
    training = _mapping(header.get("training"))
    steps = training.get("steps")
    if isinstance(steps, int):
        fact("trained", f"{counted(steps, 'step')}{_duration(training.get('seconds'))}")
    loss, kept = loss_words(training), kept_words(training)
    if loss:
        fact("loss", loss)
    if kept:
        fact("kept", kept)
    start = _mapping(header.get("start"))
    if start:
        fact("started from", str(start.get("file") or "another adapter"))
    if "portraitist_version" in header:
        fact("version", f"portraitist {header['portraitist_version']}")
    recipe = _mapping(header.get("recipe"))
    if recipe:
        say("recipe", style="dim")
        lines = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).splitlines()
        say("\n".join(f"  {line}" for line in lines))


def _duration(seconds: Any) -> str:
    """Say how long something took; nothing if a file has no time there."""
    known = isinstance(seconds, int | float) and 0 <= seconds < _LONGEST
    return f" in {in_time(float(seconds))}" if known else ""


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _pairs(value: Any) -> list[str]:
    """Return a method's settings in words; long lists are counted only."""
    pairs = []
    for name, setting in _mapping(value).items():
        if isinstance(setting, list | tuple) and len(setting) > _LISTED:
            setting = f"for {len(setting)} layers"
        if setting not in (None, (), []):
            pairs.append(f"{name} {setting}")
    return pairs

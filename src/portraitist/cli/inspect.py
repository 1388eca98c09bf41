"""``portraitist inspect``: what a file is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from portraitist.cli.reporting import fact, say
from portraitist.units import in_bytes, in_time

if TYPE_CHECKING:
    from portraitist.adapters.inspection import Inspection


def inspect(
    file: Annotated[Path, typer.Argument(help="An adapter, or any safetensors file.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what an adapter file holds, from its header alone; say what a file of others seems to be."""
    from portraitist.adapters.inspection import inspect_file

    found = inspect_file(file)
    if as_json:
        typer.echo(found.to_json())
        return
    fact("file", str(found.path))
    fact("what", found.seems)
    fact("size", f"{in_bytes(found.size)}, {found.parameters:,} numbers in {found.tensors} tensors")
    fact("precision", ", ".join(f"{dtype} ({count})" for dtype, count in found.dtypes.items()))
    if found.is_adapter:
        _show_adapter(found)


def _show_adapter(found: "Inspection") -> None:
    header = found.header
    layers = (
        f"{component}: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}"
        for component, kinds in found.layers.items()
    )
    fact("method", ", ".join([str(header.get("method")), *_pairs(header.get("config"))]))
    fact("layers", "; ".join(layers))
    base = _mapping(header.get("base"))
    fact("base", f"{base.get('name', 'not named')} (fingerprint {base.get('fingerprint', 'unknown')})")
    fact("trigger", str(header.get("trigger", "none")))
    training = _mapping(header.get("training"))
    if "steps" in training:
        fact("trained", f"{training['steps']} steps in {in_time(float(training.get('seconds', 0)))}")
    fact("version", f"portraitist {header.get('portraitist_version', 'unknown')}")
    recipe = _mapping(header.get("recipe"))
    if recipe:
        say("recipe", style="dim")
        lines = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).splitlines()
        say("\n".join(f"  {line}" for line in lines))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _pairs(value: Any) -> list[str]:
    return [f"{name} {setting}" for name, setting in _mapping(value).items() if setting is not None]

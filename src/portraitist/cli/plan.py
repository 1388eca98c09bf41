"""``portraitist plan``: what a training run will need, before anything is downloaded."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portraitist.bases.spelling import architecture_name
from portraitist.cli.options import BaseBitsOption, BaseDtypeOption, ResolutionOption, SetOption, parse_settings
from portraitist.cli.reporting import fact, warn
from portraitist.errors import BadPhoto
from portraitist.requests.devices import choose_device, choose_precision
from portraitist.requests.usual import DEFAULT_BASE
from portraitist.units import counted, in_bytes

if TYPE_CHECKING:
    from portraitist.training.planning.planning import Memory, Plan


def plan(
    photos: Annotated[list[Path], typer.Argument(help="A folder of photos, or several pictures.", show_default=False)],
    base: Annotated[
        str, typer.Option("--base", help="sd15, sdxl, flux, another public architecture, or a base on this machine.")
    ] = DEFAULT_BASE,
    base_dtype: BaseDtypeOption = None,
    base_bits: BaseBitsOption = None,
    method: Annotated[str | None, typer.Option(help="One of `portraitist methods`, or several joined with +.")] = None,
    settings: SetOption = None,
    resolution: ResolutionOption = None,
) -> None:
    """Estimate a run's memory, file size, steps and parameters from the options of train; needs no weights."""
    for path in photos:
        if not path.exists():
            raise BadPhoto(f"{path} does not exist; give a folder of photos, or pictures")
    overrides, base = parse_settings(settings), architecture_name(base)

    from portraitist.photos import decode_photo, list_photos
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    from portraitist.bases.precision import usual_precision
    from portraitist.bases.quantisation import check_bits
    from portraitist.training.planning.planning import make_plan

    check_bits(base_bits)
    usable = 0
    for path in (path for entry in photos for path in list_photos(entry)):
        try:
            decode_photo(path)
            usable += 1
        except BadPhoto as error:
            warn(f"skipped: {error}")
    if not usable:
        raise BadPhoto(f"no pictures in {', '.join(map(str, photos))}; give a folder of photos")
    dtype = choose_precision(base_dtype) or usual_precision(choose_device("auto"))
    _show(make_plan(base, method, overrides, usable, dtype=dtype, bits=base_bits, resolution=resolution), usable)


def _show(made: "Plan", photos: int) -> None:
    recipe, memory = made.recipe, made.memory
    rows = recipe.batch_size * recipe.accumulate
    fact("method", f"{recipe.method} on {made.layers} layers, {made.resolution} x {made.resolution} pixels")
    fact("trained", counted(made.parameters, "parameter"))
    fact("file", in_bytes(made.file))
    fact(
        "steps",
        f"{recipe.steps:,} with {counted(rows, 'photo')} each;"
        f" {_photos(photos)} seen {counted(round(made.passes), 'time')}",
    )
    fact("memory", f"{in_bytes(memory.peak)} at the peak, while {_where(memory)}")
    fact("  base", in_bytes(memory.base))
    fact("  adapter", f"{in_bytes(memory.adapter)} with gradients and {recipe.optimizer.name}'s state")
    if memory.kept > memory.adapter:
        fact("  method", f"{in_bytes(memory.kept)} that {recipe.method} stores beside the base")
    fact("  step", f"{in_bytes(memory.activations)} of activations")


def _photos(count: int) -> str:
    return "the only one is" if count == 1 else f"each of the {count:,} is"


def _where(memory: "Memory") -> str:
    places = {"training": memory.step, "encoding the photos": memory.encoding, "making pictures": memory.sampling}
    return max(places, key=places.__getitem__)

"""``portraitist plan``: what a training run will need, before anything is downloaded."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portraitist.bases.spelling import architecture_name
from portraitist.cli.options import BaseBitsOption, BaseDtypeOption, ResolutionOption, SetOption, parse_settings
from portraitist.cli.reporting import fact, warn
from portraitist.errors import BadPhoto
from portraitist.requests.devices import check_device, choose_precision
from portraitist.requests.usual import DEFAULT_BASE
from portraitist.units import counted, in_bytes, in_time

if TYPE_CHECKING:
    from portraitist.bases.cards import Card
    from portraitist.training.planning.leaner import Fit
    from portraitist.training.planning.memory import Memory
    from portraitist.training.planning.planning import Plan

_USUAL = 24  # GB of the card that is planned for where none is here; only its precision counts


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
    device: Annotated[
        str, typer.Option(help="What to plan for: cpu, or cuda for GPUs, which need not be here; auto is a GPU.")
    ] = "auto",
) -> None:
    """Estimate a run's memory, file size, steps and parameters from the options of train; needs no weights."""
    for path in photos:
        if not path.exists():
            raise BadPhoto(f"{path} does not exist; give a folder of photos, or pictures")
    check_device(device)
    overrides, base = parse_settings(settings), architecture_name(base)

    from portraitist.photos import decode_photo, list_photos
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    import torch

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
    card = _card(device)
    dtype = choose_precision(base_dtype) or (torch.float32 if card is None else card.half)
    made = make_plan(base, method, overrides, usable, dtype=dtype, bits=base_bits, resolution=resolution)
    _show(made, usable)
    if card is not None:
        _show_cards(made, base, card)


def _card(device: str) -> "Card | None":
    """Return the GPU to plan for: the one that is here, or else one of today; None for what is no GPU."""
    import torch

    from portraitist.bases.cards import Card, card_of_size

    if device == "auto" or device.startswith("cuda"):
        return Card.of("cuda" if device == "auto" else device) if torch.cuda.is_available() else card_of_size(_USUAL)
    return None


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
    fact("  base", f"{in_bytes(memory.base)} in {made.precision}")
    fact("  adapter", f"{in_bytes(memory.adapter)} in float32, with gradients and {recipe.optimizer.name}'s state")
    if memory.kept > memory.adapter:
        fact("  method", f"{in_bytes(memory.kept)} that {recipe.method} stores beside the base")
    fact("  step", f"{in_bytes(memory.activations)} of activations")


def _show_cards(made: "Plan", base: str, card: "Card") -> None:
    """Show what makes the run fit cards of all sizes, and how long a pass takes where one was measured."""
    from portraitist.bases.cards import card_of_size
    from portraitist.training.planning.times import find_times

    here = [] if card == card_of_size(_USUAL) else [card]
    for fit in made.fits(here):
        fact(f"{fit.card.name:>7}", _fit(fit))
    times = find_times(base, made.recipe.method, made.resolution, made.setup.checkpointed)
    for each in times:
        fact("a pass", f"{in_time(each.seconds)} for a photo, as measured on {each.card}")
    if not times:
        fact("a pass", "how long one takes has not been measured on a GPU; --device cpu plans the CPU")


def _fit(fit: "Fit") -> str:
    if fit.memory is None:
        return "not enough, whatever is changed"
    if not fit.flags:
        return "enough"
    return f"enough with {' '.join(fit.flags)} ({in_bytes(fit.memory.peak)})"


def _photos(count: int) -> str:
    return "the only one is" if count == 1 else f"each of the {count:,} is"


def _where(memory: "Memory") -> str:
    places = {"training": memory.step, "encoding the photos": memory.encoding, "making pictures": memory.sampling}
    return max(places, key=places.__getitem__)

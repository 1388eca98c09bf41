"""``portraitist toyland pairs``: how often two subjects are in one picture, each as itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portraitist.cli.options import (
    DEFAULT_BASE,
    BaseOption,
    DeviceOption,
    SetOption,
    SplitOption,
    choose_device,
    parse_settings,
)
from portraitist.cli.reporting import fact

if TYPE_CHECKING:
    from portraitist.studies.pairs.rows import Way


def pairs(
    output: Annotated[Path, typer.Option("-o", "--output", help="The page, in Markdown; a picture goes beside it.")],
    folder: Annotated[Path, typer.Option(help="Where rows and pictures go, and an interrupted study goes on.")] = Path(
        "pairs"
    ),
    base: BaseOption = DEFAULT_BASE,
    judge: Annotated[
        str, typer.Option(help="An encoder of identities; colours needs no weights.")
    ] = "toyland-identity",
    count: Annotated[int, typer.Option("-n", "--pairs", min=1, help="Pairs, of one class and of two in turn.")] = 10,
    method: Annotated[list[str] | None, typer.Option(help="A method, or several; svdiff, lora, full if none.")] = None,
    way: Annotated[
        list[str] | None,
        typer.Option(help="joint, cut-mix, cut-mix-unmix, addition, regional; all of them if none."),
    ] = None,
    prompts: Annotated[int, typer.Option(min=1, help="Prompts, at most eight.")] = 8,
    seeds: Annotated[int, typer.Option(min=1, help="Pictures of each prompt.")] = 4,
    sampling_steps: Annotated[int, typer.Option(min=1, help="Denoiser steps of a picture.")] = 25,
    split: SplitOption = "test",
    settings: SetOption = None,
    workers: Annotated[int, typer.Option(min=1, help="Pairs and methods at once, each in a process.")] = 1,
    device: DeviceOption = "auto",
) -> None:
    """Teach pairs of subjects in several ways, and count the pictures in which both are themselves."""
    overrides = parse_settings(settings)

    from portraitist.files import require_writable
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    from portraitist.bases import load_base
    from portraitist.studies.pairs.recognisers import make_recogniser
    from portraitist.studies.pairs.report import write_report
    from portraitist.studies.pairs.study import METHODS, WAYS, PairStudy, carry_out

    ways: tuple[Way, ...] = tuple(way) if way else WAYS  # type: ignore[arg-type]
    study = PairStudy(
        pairs=count,
        methods=tuple(method or METHODS),
        ways=ways,
        prompts=prompts,
        seeds=seeds,
        sampling_steps=sampling_steps,
        overrides=tuple(overrides.items()),
        split=split,
    )
    for place in (folder, output.parent):
        require_writable(place)
    recogniser = make_recogniser(judge)
    store = carry_out(study, load_base(base, choose_device(device)), recogniser, folder, workers)
    page, picture = write_report(store, output)
    fact("page", str(page))
    fact("picture", str(picture))

"""``portraitist toyland pairs``: how often two subjects are in one picture, each as itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portraitist.cli.options import BaseOption, DeviceOption, SetOption, SplitOption, parse_settings
from portraitist.cli.reporting import fact
from portraitist.requests.devices import choose_device
from portraitist.requests.usual import DEFAULT_BASE

if TYPE_CHECKING:
    from portraitist.studies.experiments.pairs.results import Way


def pairs(
    output: Annotated[Path, typer.Option("-o", "--output", help="The page, in Markdown; a picture goes beside it.")],
    folder: Annotated[
        Path, typer.Option(help="Folder of rows and pictures; an interrupted study continues from it.")
    ] = Path("pairs"),
    base: BaseOption = DEFAULT_BASE,
    judge: Annotated[
        str, typer.Option(help="Encoder used to tell identities apart; colours needs no weights.")
    ] = "toyland-identity",
    count: Annotated[
        int,
        typer.Option("-n", "--pairs", min=1, help="Number of pairs; every other one has two subjects of one class."),
    ] = 10,
    method: Annotated[
        list[str] | None, typer.Option(help="A method; may be repeated. By default svdiff, lora and full.")
    ] = None,
    way: Annotated[
        list[str] | None,
        typer.Option(help="joint, cut-mix, cut-mix-unmix, addition or regional; may be repeated. All by default."),
    ] = None,
    prompts: Annotated[int, typer.Option(min=1, help="Number of prompts, eight at most.")] = 8,
    seeds: Annotated[int, typer.Option(min=1, help="Pictures per prompt.")] = 4,
    sampling_steps: Annotated[int, typer.Option(min=1, help="Sampling steps per picture.")] = 25,
    split: SplitOption = "test",
    settings: SetOption = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Pairs and methods to run in parallel, each in a process of its own.")
    ] = 1,
    device: DeviceOption = "auto",
) -> None:
    """Teach pairs of subjects in several ways, and count the pictures in which both are themselves."""
    overrides = parse_settings(settings)

    from portraitist.files import require_writable
    from portraitist.locks import held
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    from portraitist.bases import load_base
    from portraitist.studies.experiments.pairs.recognisers import make_recogniser
    from portraitist.studies.experiments.pairs.report import write_report
    from portraitist.studies.experiments.pairs.study import METHODS, WAYS, PairStudy, run_pairs

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
    loaded = load_base(base, choose_device(device))
    with held(folder, "a study of pairs", instead="choose another one with --folder"):
        store = run_pairs(study, loaded, recogniser, folder, workers)
        page, picture = write_report(store, output)
    fact("page", str(page))
    fact("picture", str(picture))

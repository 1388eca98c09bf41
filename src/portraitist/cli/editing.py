"""``portraitist toyland editing``: editing measured where the true answer is known."""

from pathlib import Path
from typing import Annotated

import typer

from portraitist.cli.options import BaseOption, DeviceOption, SetOption, SplitOption, parse_settings
from portraitist.cli.reporting import fact, say
from portraitist.requests.devices import choose_device
from portraitist.requests.usual import DEFAULT_BASE


def editing(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the pictures; an interrupted study continues from it.")
    ] = Path("editing-study"),
    report: Annotated[
        Path | None, typer.Option(help="Folder of editing.md and editing.webp; by default the folder of the pictures.")
    ] = None,
    base: BaseOption = DEFAULT_BASE,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Number of edits of each of the five kinds.")] = 8,
    method: Annotated[
        list[str] | None, typer.Option(help="Methods to compare; by default svdiff, lora and full.")
    ] = None,
    sampling_steps: Annotated[int | None, typer.Option(min=1, help="DDIM steps; 50 by default.")] = None,
    split: SplitOption = "test",
    settings: SetOption = None,
    examiner: Annotated[
        Path | None,
        typer.Option(help="Folder of an examiner (the classifier that reads targets) to use instead of the package's."),
    ] = None,
    encoder: Annotated[str, typer.Option(help="Encoder used to compare identities.")] = "toyland-identity",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the results.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Edits to run in parallel, each in a process of its own.")] = 1,
    only_report: Annotated[
        bool, typer.Option("--only-report", help="Only rewrite the report; make no pictures.")
    ] = False,
    device: DeviceOption = "auto",
) -> None:
    """Measure editing on pictures whose true answer can be drawn, and write a page with a table and a grid."""
    overrides = {"seed": seed, **parse_settings(settings)}

    from portraitist.locks import held
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    from portraitist.bases import load_base
    from portraitist.evaluation.encoders import load_encoder
    from portraitist.studies.experiments.editing.edits import draw_edits
    from portraitist.studies.experiments.editing.report import write_editing_report
    from portraitist.studies.experiments.editing.study import METHODS, EditingStudy, default_recipes, default_variants
    from portraitist.toyland.judges.examiner import BUILTIN, Examiner

    place = choose_device(device)
    judge = Examiner.load(examiner or BUILTIN)
    identities = load_encoder(encoder, place)
    loaded = load_base(base, place)
    methods = tuple(method or METHODS)
    study = EditingStudy(
        base=loaded,
        edits=draw_edits(count, split=split),
        variants=default_variants(methods, sampling_steps),
        recipes=default_recipes(loaded, methods, overrides),
        folder=output,
        seed=seed,
    )
    with held(output, "a study of editing", instead="choose another folder with -o"):
        if not only_report:
            study.run(workers)
        page, grid = write_editing_report(study, report or output, judge, identities)
    say(page.read_text(encoding="utf-8"))
    fact("written", f"{page} and {grid}")

"""``portraitist edit``: another prompt for one picture."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portraitist.cli.options import DeviceOption, OtherBaseOption, ResolutionOption, SetOption, parse_settings
from portraitist.cli.reporting import advise, fact, say

if TYPE_CHECKING:
    from portraitist.requests.edit import EditRequest
    from portraitist.requests.jobs.edit import EditOutcome


def edit(
    photo: Annotated[Path, typer.Argument(help="The picture.", show_default=False)],
    source: Annotated[str, typer.Option(help="What the picture shows, in plain words.")],
    target: Annotated[str, typer.Option(help="What it should show instead.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the results.")] = Path("edit"),
    base: OtherBaseOption = None,
    resolution: ResolutionOption = None,
    method: Annotated[
        str, typer.Option(help="The method that learns the picture: svdiff, lora or full; none edits without learning.")
    ] = "svdiff",
    adapter: Annotated[
        Path | None,
        typer.Option(help="An adapter already trained on this picture (adapter.safetensors of an earlier edit)."),
    ] = None,
    inversion: Annotated[
        bool,
        typer.Option(
            "--inversion/--no-inversion", help="Start from the picture's own noise, which preserves its structure."
        ),
    ] = True,
    strength: Annotated[
        float | None,
        typer.Option(help="How much the structure may change, from 0 to 1; by default 0 with inversion, 1 without."),
    ] = None,
    eta: Annotated[float, typer.Option(help="Fresh noise added in every sampling step, from 0 to 1.")] = 0.0,
    guidance: Annotated[float | None, typer.Option(help="Scale of classifier-free guidance; 3 by default.")] = None,
    negative: Annotated[str | None, typer.Option(help="Negative prompt.")] = None,
    sampling_steps: Annotated[int | None, typer.Option(help="DDIM steps; 50 by default.")] = None,
    refinements: Annotated[
        int | None, typer.Option(help="Maximum fixed-point iterations per inversion step; with 0 the inversion drifts.")
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Number of results, with consecutive seeds.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first result and of the training.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps for learning the picture.")] = None,
    settings: SetOption = None,
    fit: Annotated[str, typer.Option(help="How to make a picture square: crop, or pad with white.")] = "crop",
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Ask the base whether the source prompt describes the picture.")
    ] = True,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Overwrite an existing edit.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Edit a picture by changing its prompt: learn it, invert it to noise, sample with the target prompt (CoSINE)."""
    from portraitist.progress import quiet_libraries
    from portraitist.requests.choices import BaseChoice
    from portraitist.requests.edit import EditRequest

    request = EditRequest(
        photo=photo,
        source=source,
        target=target,
        method=method,
        adapter=adapter,
        steps=steps,
        settings=parse_settings(settings),
        inversion=inversion,
        strength=strength,
        eta=eta,
        guidance=guidance,
        negative=negative,
        sampling_steps=sampling_steps,
        refinements=refinements,
        count=count,
        seed=seed,
        base=BaseChoice(name=base, device=device, resolution=resolution),
        fit=fit,
        check_prompts=check,
        output=output,
        resume=resume,
        overwrite=overwrite,
    )
    request.check()
    quiet_libraries()
    from portraitist.requests.jobs.edit import EditJob

    job = EditJob(request)
    advise(job.advice)
    _show(request, job.run())


def _show(request: "EditRequest", outcome: "EditOutcome") -> None:
    say()
    if outcome.drift is not None:
        fact("inversion", f"relative error {outcome.drift:.2g}, {outcome.evaluations} evaluations")
    advise(outcome.advice)
    count, output = len(outcome.results), request.output
    fact("written", f"{count} result{'s' * (count > 1)} in {output}")
    fact("sheet", str(outcome.sheet))
    if outcome.adapter is not None:
        again = ["portraitist", "edit", str(request.photo), "--adapter", str(outcome.adapter)]
        fact("try", shlex.join([*again, "--source", request.source, "--target", "...", "-o", f"{output}-2"]))

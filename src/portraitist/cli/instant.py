"""``portraitist instant``: a photo to an adapter in a second."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from portraitist.cli.options import BaseDtypeOption, DeviceOption
from portraitist.cli.reporting import advise, fact
from portraitist.units import counted, in_bytes, in_time


def instant(
    photos: Annotated[
        list[Path], typer.Argument(metavar="PHOTO...", help="A photo, or several of one subject.", show_default=False)
    ],
    class_noun: Annotated[str, typer.Option("--class", help="What kind of thing the subject is: person, cat.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The adapter file.")],
    hypernetwork: Annotated[
        str | None, typer.Option(metavar="NAME|FOLDER", help="By default the one that ships for the base.")
    ] = None,
    refine: Annotated[int, typer.Option(min=0, help="Training steps after the prediction; the paper uses 40.")] = 0,
    least_rank: Annotated[
        int | None,
        typer.Option(min=0, help="With --refine: rank trained at the noisiest timesteps; by default all of it."),
    ] = None,
    detector: Annotated[
        Path | None, typer.Option(help="YuNet's .onnx file, to warn of photos that show no face or several.")
    ] = None,
    guidance: Annotated[
        float,
        typer.Option(help="How strongly the photo counts, relative to the average subject; 1 is as predicted."),
    ] = 1.0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Random seed, for hypernetworks that sample adapters.")
    ] = None,
    sampling_steps: Annotated[
        int | None, typer.Option(min=1, help="Sampling steps, for hypernetworks that sample adapters.")
    ] = None,
    rank: Annotated[
        int | None, typer.Option(min=1, help="Maximum rank of a predicted LoRA; by default nothing is lost.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="The base; by default the hypernetwork's.")] = None,
    base_dtype: BaseDtypeOption = None,
    fit: Annotated[str, typer.Option(help="How to make photos square: crop, or pad with white.")] = "crop",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Overwrite an existing adapter file.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Use a hypernetwork that was made for another base.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Turn a photo into an adapter file in one pass of a hypernetwork; --refine trains it further."""
    from portraitist.progress import quiet_libraries
    from portraitist.requests.choices import BaseChoice
    from portraitist.requests.instant import InstantRequest

    request = InstantRequest.parse(
        {
            "photos": tuple(photos),
            "class_noun": class_noun,
            "output": output,
            "hypernetwork": hypernetwork,
            "base": BaseChoice(name=base, device=device, precision=base_dtype),
            "guidance": guidance,
            "seed": seed,
            "sampling_steps": sampling_steps,
            "rank": rank,
            "refine": refine,
            "least_rank": least_rank,
            "detector": detector,
            "fit": fit,
            "overwrite": overwrite,
            "force": force,
        }
    )
    request.check()
    quiet_libraries()
    from portraitist.requests.jobs.instant import InstantJob

    job = InstantJob(request)
    advise(job.advice)
    made = job.run()
    advise(made.advice)
    fact("written", str(made.file))
    fact("size", f"{in_bytes(made.size)}, {counted(made.parameters, 'parameter')}, {made.method}")
    if made.predicted != made.file:
        fact("predicted", str(made.predicted))
    fact("prediction", f"{in_time(made.seconds)} with {job.plan.hypernetwork}")
    if request.refine:
        fact("refinement", f"{request.refine} steps in {in_time(made.refine_seconds)}")
    if request.rank is not None:
        fact("kept", f"{made.energy:.1%} of the change in the layer that lost most")
    fact("try", shlex.join(["portraitist", "generate", made.prompt, "--adapter", str(made.file)]))

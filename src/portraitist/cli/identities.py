"""``portraitist identities``: many subjects to a set that networks learn from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portraitist.cli.options import BaseDtypeOption, BaseOption, DeviceOption, SetOption, parse_settings
from portraitist.cli.reporting import advise, fact, say, warn
from portraitist.requests.usual import DEFAULT_BASE, DEFAULT_TOKEN
from portraitist.units import in_time

if TYPE_CHECKING:
    from portraitist.requests.jobs.identities import IdentitiesMade, IdentitiesPlan


def identities(
    source: Annotated[
        str,
        typer.Argument(
            help="toyland:people, toyland:cats,robots or toyland:all; or a folder with a folder of photos for each"
            " identity.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The set's folder; an unfinished set is continued.")],
    count: Annotated[
        int | None, typer.Option(min=1, help="Number of identities; by default 1000, or every folder.")
    ] = None,
    kinds: Annotated[str | None, typer.Option(help="Kinds of toyland's, separated by commas: people,cats.")] = None,
    class_noun: Annotated[
        str | None, typer.Option("--class", help="What the identities of a folder are: person, cat, backpack.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="train, validation, test or all; by default train for toyland, all for a folder."),
    ] = None,
    photos: Annotated[int, typer.Option(min=1, help="Photos of each identity.")] = 6,
    vary: Annotated[
        int,
        typer.Option(min=0, help="Of a folder: variations of each identity's photos, drawn by the base and filtered."),
    ] = 0,
    vary_with: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="An IP-Adapter's .safetensors to draw variations with, beside its image_encoder (or FILE@FOLDER);"
            " without it they are drawn from the photo's pixels.",
        ),
    ] = None,
    vary_strength: Annotated[float, typer.Option(help="How far variations may go from their photo, 0 to 1.")] = 0.6,
    vary_likeness: Annotated[
        float, typer.Option(help="Likeness to their photo that they need, by the first of the encoders.")
    ] = 0.5,
    detector: Annotated[
        str | None, typer.Option(help="A face detector: variations then show exactly one face, the photo's.")
    ] = None,
    face_encoder: Annotated[str | None, typer.Option(help="The face recognition network that goes with it.")] = None,
    encoders: Annotated[
        str, typer.Option(help="Encoders whose features are kept, separated by commas: any that evaluate takes.")
    ] = "toyland-identity",
    target: Annotated[
        str, typer.Option(help="Target adapters to train, one an identity: lidb, lora or none.")
    ] = "none",
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps of a target.")] = None,
    settings: SetOption = None,
    scenes: Annotated[bool, typer.Option("--scenes", help="Name each photo's scene in targets' prompts.")] = False,
    frozen_a: Annotated[
        bool,
        typer.Option("--frozen-a", help="Keep the random factor A of LoRA targets as it started, in all the same."),
    ] = False,
    bank_size: Annotated[int, typer.Option(min=1, help="Number of targets trained at once.")] = 8,
    executor: Annotated[str, typer.Option(help="Where to train targets: local, or ray for a cluster.")] = "local",
    minutes: Annotated[float | None, typer.Option(help="Begin nothing more after so many minutes.")] = None,
    token: Annotated[str, typer.Option(help="The rare word that stands for each identity.")] = DEFAULT_TOKEN,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    base: BaseOption = DEFAULT_BASE,
    base_dtype: BaseDtypeOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Make a set of identities for networks to learn from: photos, latents, features and, if wanted, adapters."""
    from portraitist.progress import quiet_libraries
    from portraitist.requests.choices import BaseChoice
    from portraitist.requests.identities import IdentitiesRequest

    request = IdentitiesRequest.parse(
        {
            "source": source,
            "output": output,
            "count": count,
            "kinds": _words(kinds),
            "class_noun": class_noun,
            "split": split,
            "photos": photos,
            "vary": vary,
            "vary_with": vary_with,
            "vary_strength": vary_strength,
            "vary_likeness": vary_likeness,
            "detector": detector,
            "face_encoder": face_encoder,
            "encoders": _words(encoders),
            "target": target,
            "steps": steps,
            "settings": parse_settings(settings),
            "scenes": scenes,
            "frozen_a": frozen_a,
            "bank_size": bank_size,
            "executor": executor,
            "minutes": minutes,
            "token": token,
            "seed": seed,
            "base": BaseChoice(name=base, device=device, precision=base_dtype),
        }
    )
    quiet_libraries()
    request.check()
    from portraitist.requests.jobs.identities import IdentitiesJob

    job = IdentitiesJob(request)
    advise(job.advice)
    _show_plan(job.plan)
    _show_result(job.run())


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _show_plan(plan: "IdentitiesPlan") -> None:
    fact("source", f"{plan.source}: {plan.identities} identities ({', '.join(plan.kinds)}), split {plan.split}")
    fact("photos", f"{plan.photos} of each, {plan.side} x {plan.side} pixels")
    fact("base", plan.base)
    fact("features", ", ".join(plan.encoders) or "none")
    if plan.target is None:
        fact("targets", "none")
    else:
        fact("targets", f"{plan.target.method}, {plan.target.steps} steps, {plan.bank_size} at a time")


def _show_result(made: "IdentitiesMade") -> None:
    say()
    if not made.finished:
        warn(f"{made.folder} is not finished; the same command continues it")
    fact("written", str(made.folder))
    fact("identities", f"{made.identities} of {made.wanted}, {made.photos} photos; {made.good} without flags")
    if made.targets:
        fact("targets", str(made.targets))
    if made.seconds_each:
        each = sum(made.seconds_each.values())
        stages = ", ".join(f"{stage} {seconds:.3g} s" for stage, seconds in made.seconds_each.items())
        fact("pace", f"{3600 / each:,.0f} identities an hour ({stages})")
        fact("the paper's", f"15,000 identities would take {in_time(made.papers_seconds)}")

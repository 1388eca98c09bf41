"""``portraitist train``: photos to an adapter file."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portraitist.cli.options import (
    BaseBitsOption,
    BaseDtypeOption,
    BaseOption,
    DeviceOption,
    ResolutionOption,
    SetOption,
    parse_settings,
)
from portraitist.cli.reporting import advise, fact, say
from portraitist.cli.subjects import SubjectsOption, choose_subjects
from portraitist.errors import BadConfig
from portraitist.requests.usual import DEFAULT_BASE, DEFAULT_TOKEN
from portraitist.units import counted, in_bytes, in_time

if TYPE_CHECKING:
    from portraitist.requests.jobs.train import Trained, TrainPlan
    from portraitist.training.recipes import Recipe


def train(
    photos: Annotated[
        list[Path] | None, typer.Argument(help="A folder of photos, or several pictures.", show_default=False)
    ] = None,
    class_noun: Annotated[
        str | None, typer.Option("--class", help="What kind of thing the subject is: cat, backpack, person.")
    ] = None,
    token: Annotated[str, typer.Option(help="The rare word that will stand for the subject.")] = DEFAULT_TOKEN,
    several: SubjectsOption = None,
    cut_mix: Annotated[
        bool, typer.Option("--cut-mix", help="With several subjects: also train on collages of two.")
    ] = False,
    cut_mix_unmix: Annotated[
        bool,
        typer.Option("--cut-mix-unmix", help="Like --cut-mix, plus an attention loss that keeps subjects apart."),
    ] = False,
    base: BaseOption = DEFAULT_BASE,
    base_dtype: BaseDtypeOption = None,
    base_bits: BaseBitsOption = None,
    resolution: ResolutionOption = None,
    method: Annotated[
        str | None, typer.Option(help="One of `portraitist methods`, or several joined with +; lora by default.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="A YAML file of settings that override the recipe's.")] = None,
    settings: SetOption = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", "--lr", help="Learning rate.")] = None,
    rank: Annotated[int | None, typer.Option(min=1, help="Rank of a LoRA.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Photos per step.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    prior: Annotated[
        bool | None, typer.Option("--prior/--no-prior", help="Use prior preservation with generated class images.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="Start from this adapter, of the same method, settings and layers, instead of from scratch."),
    ] = None,
    save_every: Annotated[
        int | None, typer.Option(min=1, help="Also save the adapter every this many steps, in the folder OUTPUT.run.")
    ] = None,
    keep_last: Annotated[
        int | None, typer.Option(min=1, help="With --save-every: keep only this many of the newest.")
    ] = None,
    keep_run: Annotated[
        bool, typer.Option("--keep-run", help="Keep the training log in OUTPUT.run when training is done.")
    ] = False,
    fit: Annotated[str, typer.Option(help="How to make photos square: crop, or pad with white.")] = "crop",
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Overwrite an existing adapter file.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The adapter file; by default named after the photos.")
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Teach a base model the subject of some photos, or with --subject several subjects in one adapter."""
    from portraitist.progress import quiet_libraries
    from portraitist.requests.choices import BaseChoice
    from portraitist.requests.train import TrainRequest

    if keep_last is not None and save_every is None:
        raise BadConfig("--keep-last limits the adapters that --save-every writes; add --save-every")
    flags = {
        "steps": steps,
        "learning_rate": learning_rate,
        "seed": seed,
        "batch_size": batch_size,
        _rank_setting(method): rank,
        "prior": None if prior is None else "generated" if prior else "none",
        "log.save_every": save_every,
        "log.keep_last": keep_last,
        "log.keep": True if keep_run else None,
    }
    given = [f"{name}={value}" for name, value in flags.items() if value is not None]
    request = TrainRequest(
        subjects=choose_subjects(photos, class_noun, token, several),
        collages="cut-mix-unmix" if cut_mix_unmix else "cut-mix" if cut_mix else "none",
        base=BaseChoice(name=base, device=device, precision=base_dtype, bits=base_bits, resolution=resolution),
        method=method,
        recipe=recipe,
        settings=parse_settings([*(settings or []), *given]),
        start=start,
        fit=fit,
        output=output,
        resume=resume,
        overwrite=overwrite,
    )
    request.check()
    quiet_libraries()
    from portraitist.requests.jobs.train import TrainJob

    job = TrainJob(request)
    advise(job.advice)
    _show_plan(job.plan)
    _show_result(job.run(), base_dtype)


def _rank_setting(method: str | None) -> str:
    """Return which setting of a method, or of several joined with +, is a LoRA's rank."""
    parts = (method or "").split("+")
    return "method_config.rank" if len(parts) == 1 else f"method_config.{'lora' if 'lora' in parts else parts[-1]}.rank"


def _show_plan(plan: "TrainPlan") -> None:
    recipe = plan.recipe
    settings = "".join(f", {name} {value}" for name, value in recipe.method_config.items())
    rates = [f"{recipe.learning_rate:g}"]
    if recipe.text_learning_rate:
        rates.append(f"text encoder {recipe.text_learning_rate:g}")
    for subject in plan.subjects:
        fact("subject", f"'{subject.words}', {counted(subject.photos, 'photo')}")
    fact("method", f"{recipe.method}{settings} on {recipe.layers if isinstance(recipe.layers, str) else 'own layers'}")
    fact("base", plan.base)
    if plan.start is not None:
        fact("start", str(plan.start))
    rows = counted(recipe.batch_size * recipe.accumulate, "photo")
    fact("steps", f"{recipe.steps:,} with {rows} each, seed {recipe.seed}")
    fact("rate", f"{', '.join(rates)}; {recipe.schedule}")
    fact("prior", _prior(recipe))
    if recipe.cut_mix:
        unmix = f", Unmix loss with weight {recipe.unmix_weight:g}" if recipe.unmix_weight else ""
        fact("collages", f"{recipe.cut_mix:.0%} of the samples{unmix}")


def _prior(recipe: "Recipe") -> str:
    """Say how the class is held on to."""
    sources = {
        "none": "none",
        "generated": f"{recipe.prior_images} class images",
        "given": f"class images of {recipe.prior_folder}",
        "base": "what the base predicts, without images",
    }
    weight = f", weight {recipe.prior_weight:g}" if recipe.prior != "none" else ""
    return sources[recipe.prior] + weight


def _show_result(trained: "Trained", base_dtype: str | None) -> None:
    say()
    fact("written", str(trained.file))
    fact("size", f"{in_bytes(trained.size)}, {counted(trained.parameters, 'parameter')}")
    fact("training", f"{counted(trained.steps, 'step')} in {in_time(trained.seconds)}")
    if trained.loss is not None:
        fact("loss", trained.loss)
    if trained.kept is not None:
        fact("kept", trained.kept)
    precision = ["--base-dtype", base_dtype] if base_dtype else []
    command = ["portraitist", "generate", trained.prompt, "--adapter", str(trained.file), *precision]
    fact("try", shlex.join(command))

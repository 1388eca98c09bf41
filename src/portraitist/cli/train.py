"""``portraitist train``: photos to an adapter file."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portraitist.cli.options import (
    DEFAULT_BASE,
    BaseBitsOption,
    BaseDtypeOption,
    BaseOption,
    DeviceOption,
    ResolutionOption,
    SetOption,
    choose_device,
    choose_dtype,
    parse_settings,
)
from portraitist.cli.reporting import fact, say, warn
from portraitist.cli.subjects import DEFAULT_TOKEN, GivenSubject, SubjectsOption, choose_subjects
from portraitist.errors import BadPhoto
from portraitist.units import in_bytes, in_time

if TYPE_CHECKING:
    from portraitist.adapters import Adapter
    from portraitist.training.recipes import Recipe
    from portraitist.training.subjects import Subject


def train(
    photos: Annotated[
        list[Path] | None, typer.Argument(help="A folder of photos, or several pictures.", show_default=False)
    ] = None,
    class_noun: Annotated[
        str | None, typer.Option("--class", help="What kind of thing it is: cat, backpack, person.")
    ] = None,
    token: Annotated[str, typer.Option(help="The rare word that will mean the subject.")] = DEFAULT_TOKEN,
    several: SubjectsOption = None,
    cut_mix: Annotated[bool, typer.Option("--cut-mix", help="Also show several subjects in collages of two.")] = False,
    cut_mix_unmix: Annotated[
        bool, typer.Option("--cut-mix-unmix", help="As --cut-mix, and keep their words apart by attention.")
    ] = False,
    base: BaseOption = DEFAULT_BASE,
    base_dtype: BaseDtypeOption = None,
    base_bits: BaseBitsOption = None,
    resolution: ResolutionOption = None,
    method: Annotated[
        str | None, typer.Option(help="One of `portraitist methods`, or several with +; lora when not given.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="A YAML file of settings that go above the recipe's.")] = None,
    settings: SetOption = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    prior: Annotated[bool | None, typer.Option("--prior/--no-prior", help="Preserve the class with images.")] = None,
    fit: Annotated[str, typer.Option(help="Photos that are not square: crop, or pad with white.")] = "crop",
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an adapter file that is there.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The adapter file; named after the photos when not given.")
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Teach a base model the subject of some photos, or with --subject several subjects in one adapter."""
    overrides = parse_settings(settings)
    flags = {"steps": steps, "learning_rate": learning_rate, "seed": seed}
    overrides.update({name: value for name, value in flags.items() if value is not None})
    if prior is not None:
        overrides["prior"] = "generated" if prior else "none"
    given = choose_subjects(photos, class_noun, token, several, cut_mix or cut_mix_unmix)
    file = _checked(given, output, resume, overwrite)

    from portraitist.progress import quiet_libraries

    quiet_libraries()
    from portraitist.bases import load_base
    from portraitist.training.inputs.companions import missing_companions
    from portraitist.training.multi_subject.teaching import train_several, with_cut_mix
    from portraitist.training.personalise import train as teach
    from portraitist.training.recipes import load_recipe
    from portraitist.training.subjects import Subject
    from portraitist.training.tokens import token_warning
    from portraitist.training.watching.watching import drawing_advice

    loaded = load_base(base, choose_device(device), choose_dtype(base_dtype), base_bits, resolution)
    resolved = load_recipe(method, loaded.name, loaded.family.name, recipe, overrides)
    if cut_mix or cut_mix_unmix:
        resolved = with_cut_mix(resolved, cut_mix_unmix)
    size = loaded.family.resolution
    subjects = [Subject.from_folder(one.photos, one.class_noun, one.token, size, fit) for one in given]  # type: ignore[arg-type]
    for line in (line for subject in subjects for line in subject.skipped):
        warn(f"skipped: {line}")
    options: dict[str, Any] = {"output": file, "resume": resume, "overwrite": overwrite}
    if several:
        _show_plan(subjects, loaded.name, resolved)
        adapter = train_several(loaded, subjects, resolved, **options)
    else:
        if advice := token_warning(loaded.pipeline.tokenizer, subjects[0].token):
            warn(advice)
        for line in missing_companions(subjects[0], resolved.photos):
            warn(line)
        if advice := drawing_advice(resolved):
            warn(advice)
        _show_plan(subjects, loaded.name, resolved)
        adapter = teach(loaded, subjects[0], resolved, **options)
    _show_result(adapter, [f"{subject.token} {subject.class_noun}" for subject in subjects], file, base_dtype)


def _checked(given: list[GivenSubject], output: Path | None, resume: bool, overwrite: bool) -> Path:
    """Return the adapter file to write; refuse at once what can be known without a model."""
    from portraitist.training.outputs import SUFFIX, check_output, is_interrupted

    for path in (path for subject in given for path in subject.photos):
        if not path.exists():
            raise BadPhoto(f"{path} does not exist; give a folder of photos, or pictures")
    names = [subject.photos[0].resolve().stem or "subject" for subject in given]
    name = f"{'-and-'.join(names)}{SUFFIX}"
    if output is None:
        output = Path(name)
    elif output.is_dir():
        output = output / name
    check_output(output, resume, overwrite)
    if resume and not is_interrupted(output):
        warn(f"there is no interrupted run of {output}; starting anew")
    return output


def _show_plan(subjects: "list[Subject]", base: str, recipe: "Recipe") -> None:
    settings = "".join(f", {name} {value}" for name, value in recipe.method_config.items())
    rates = [f"{recipe.learning_rate:g}"]
    if recipe.text_learning_rate:
        rates.append(f"text encoder {recipe.text_learning_rate:g}")
    for subject in subjects:
        count = len(subject.photos)
        fact("subject", f"'{subject.token} {subject.class_noun}', {count} photo{'s' * (count > 1)}")
    fact("method", f"{recipe.method}{settings} on {recipe.layers if isinstance(recipe.layers, str) else 'own layers'}")
    fact("base", base)
    fact("steps", f"{recipe.steps} of {recipe.batch_size * recipe.accumulate} photos, seed {recipe.seed}")
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


def _show_result(adapter: "Adapter", names: list[str], output: Path, base_dtype: str | None) -> None:
    from portraitist.training.multi_subject.cut_mix import pair_prompt

    training = adapter.provenance.training
    say()
    fact("written", str(output))
    fact("size", f"{in_bytes(output.stat().st_size)}, {adapter.count():,} numbers")
    fact("training", f"{training['steps']} steps in {in_time(training['seconds'])}")
    template = adapter.provenance.recipe["prompt"]
    prompt = template.replace("{}", names[0]) if len(names) == 1 else pair_prompt(template, names[0], names[1], "list")
    precision = ["--base-dtype", base_dtype] if base_dtype else []
    command = ["portraitist", "generate", f"{prompt} on the beach", "--adapter", str(output), *precision]
    fact("try", shlex.join(command))

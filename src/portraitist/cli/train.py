"""``portraitist train``: photos to an adapter file."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portraitist.cli.options import DEFAULT_BASE, BaseOption, DeviceOption, SetOption, choose_device, parse_settings
from portraitist.cli.reporting import fact, say, warn
from portraitist.errors import BadConfig, BadPhoto
from portraitist.units import in_bytes, in_time

if TYPE_CHECKING:
    from portraitist.adapters import Adapter
    from portraitist.training.recipes import Recipe


def train(
    photos: Annotated[list[Path], typer.Argument(help="A folder of photos, or several pictures.", show_default=False)],
    class_noun: Annotated[str, typer.Option("--class", help="What kind of thing it is: cat, backpack, person.")],
    token: Annotated[str, typer.Option(help="The rare word that will mean the subject.")] = "sks",
    base: BaseOption = DEFAULT_BASE,
    method: Annotated[str | None, typer.Option(help="A name of `portraitist methods`; lora when not given.")] = None,
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
    """Teach a base model the subject of some photos."""
    overrides = parse_settings(settings)
    flags = {"steps": steps, "learning_rate": learning_rate, "seed": seed}
    overrides.update({name: value for name, value in flags.items() if value is not None})
    if prior is not None:
        overrides["prior"] = "generated" if prior else "none"
    file = _checked(photos, class_noun, output, resume, overwrite)

    from portraitist.progress import quiet_libraries

    quiet_libraries()
    from portraitist.bases import load_base
    from portraitist.training.personalise import train as teach
    from portraitist.training.recipes import load_recipe
    from portraitist.training.subjects import Subject
    from portraitist.training.tokens import token_warning

    loaded = load_base(base, choose_device(device))
    resolved = load_recipe(method, loaded.name, loaded.family.name, recipe, overrides)
    subject = Subject.from_folder(photos, class_noun, token, loaded.family.resolution, fit)  # type: ignore[arg-type]
    for line in subject.skipped:
        warn(f"skipped: {line}")
    if advice := token_warning(loaded.pipeline.tokenizer, token):
        warn(advice)
    _show_plan(len(subject.photos), f"{token} {class_noun}", loaded.name, resolved)
    adapter = teach(loaded, subject, resolved, output=file, resume=resume, overwrite=overwrite)
    _show_result(adapter, file)


def _checked(photos: list[Path], class_noun: str, output: Path | None, resume: bool, overwrite: bool) -> Path:
    """Return the adapter file to write; refuse at once what can be known without a model."""
    from portraitist.training.outputs import SUFFIX, check_output, is_interrupted

    if not class_noun.strip():
        raise BadConfig("the subject needs a class noun, such as cat or backpack: --class cat")
    for path in photos:
        if not path.exists():
            raise BadPhoto(f"{path} does not exist; give a folder of photos, or pictures")
    name = f"{photos[0].resolve().stem or 'subject'}{SUFFIX}"
    if output is None:
        output = Path(name)
    elif output.is_dir():
        output = output / name
    check_output(output, resume, overwrite)
    if resume and not is_interrupted(output):
        warn(f"there is no interrupted run of {output}; starting anew")
    return output


def _show_plan(photos: int, trigger: str, base: str, recipe: "Recipe") -> None:
    settings = "".join(f", {name} {value}" for name, value in recipe.method_config.items())
    prior = f"{recipe.prior_images} class images, weight {recipe.prior_weight:g}" if recipe.prior != "none" else "none"
    rates = [f"{recipe.learning_rate:g}"]
    if recipe.text_learning_rate:
        rates.append(f"text encoder {recipe.text_learning_rate:g}")
    fact("subject", f"{trigger!r}, {photos} photo{'s' * (photos > 1)}")
    fact("method", f"{recipe.method}{settings} on {recipe.layers if isinstance(recipe.layers, str) else 'own layers'}")
    fact("base", base)
    fact("steps", f"{recipe.steps} of {recipe.batch_size * recipe.accumulate} photos, seed {recipe.seed}")
    fact("rate", f"{', '.join(rates)}; {recipe.schedule}")
    fact("prior", prior)


def _show_result(adapter: "Adapter", output: Path) -> None:
    training: dict[str, Any] = adapter.metadata["training"]
    say()
    fact("written", str(output))
    fact("size", f"{in_bytes(output.stat().st_size)}, {adapter.count():,} numbers")
    fact("training", f"{training['steps']} steps in {in_time(training['seconds'])}")
    prompt = adapter.metadata["recipe"]["prompt"].replace("{}", adapter.metadata["trigger"])
    fact("try", shlex.join(["portraitist", "generate", f"{prompt} on the beach", "--adapter", str(output)]))

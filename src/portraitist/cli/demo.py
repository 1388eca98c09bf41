"""``portraitist demo``: the main job on bundled subjects, shown on a sheet and a page."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from portraitist.cli.options import BaseOption, DeviceOption
from portraitist.cli.reporting import fact, say
from portraitist.requests.devices import choose_device
from portraitist.requests.usual import DEFAULT_BASE
from portraitist.units import in_time


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the picture, page and adapter.")] = Path(
        "demo"
    ),
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = False,
    method: Annotated[str, typer.Option(help="A name of `portraitist methods`.")] = "lora",
    subject: Annotated[
        list[str] | None, typer.Option(help="An example subject; may be repeated. By default a person and a cat.")
    ] = None,
    base: BaseOption = DEFAULT_BASE,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps; by default the recipe's.")] = None,
    sampling_steps: Annotated[int | None, typer.Option(help="Sampling steps per picture.")] = None,
    device: DeviceOption = "auto",
) -> None:
    """Teach the base bundled subjects, and show them where they have never been."""
    from portraitist.bases.examples import get_example
    from portraitist.files import require_writable
    from portraitist.locks import held
    from portraitist.progress import quiet_libraries

    require_writable(output)
    quiet_libraries()
    from portraitist.bases import load_base
    from portraitist.generation import SamplingConfig
    from portraitist.studies.experiments.demo.demo import DEFAULT_SUBJECTS, run_demo
    from portraitist.studies.experiments.demo.writing import write_demo
    from portraitist.training.recipes import load_recipe

    examples = [get_example(name) for name in dict.fromkeys(subject or DEFAULT_SUBJECTS)]
    loaded = load_base(base, choose_device(device))
    recipe = load_recipe(method, loaded.name, loaded.family.name, overrides={"steps": steps} if steps else None)
    sampling = SamplingConfig() if sampling_steps is None else SamplingConfig(steps=sampling_steps)
    with held(output, "a demo", instead="choose another folder with -o"):
        made = run_demo(loaded, examples, recipe, output, sampling)
        picture, page = write_demo(made, output)
    say()
    fact("done", f"in {in_time(made.total_seconds)}")
    fact("picture", str(picture.resolve()))
    fact("page", page.resolve().as_uri())
    for lesson in made.lessons:
        fact("adapter", str(lesson.adapter_file))
    for lesson in made.lessons:
        adapter = ["--adapter", str(lesson.adapter_file)]
        fact("try", shlex.join(["portraitist", "generate", f"a {lesson.trigger} under water", *adapter]))
    if show:
        typer.launch(page.resolve().as_uri())

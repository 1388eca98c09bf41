"""``portraitist toyland``: making the embedded base model, and looking at its world."""

from pathlib import Path
from typing import Annotated

import typer

from portraitist.cli.options import DeviceOption, SplitOption
from portraitist.cli.reporting import fact, say
from portraitist.errors import BadConfig, BadFile
from portraitist.requests.devices import choose_device

app = typer.Typer(help="The embedded base model: train it again, look at its world.", no_args_is_help=True)


FolderOption = Annotated[Path, typer.Option(help="Folder of data, checkpoints and the model.")]
ConfigOption = Annotated[
    Path | None, typer.Option(help="A YAML file of settings; by default the one used for the shipped weights.")
]
_FOLDER = Path("toyland-run")


@app.command("train")
def train(
    folder: FolderOption = _FOLDER,
    config: ConfigOption = None,
    stage: Annotated[list[str] | None, typer.Option(help="A stage to run; may be repeated. All by default.")] = None,
    device: DeviceOption = "auto",
    precision: Annotated[str, typer.Option(help="no (float32) or bf16.")] = "no",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads for a run on the CPU.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes that draw pictures.")] = 1,
) -> None:
    """Train toyland; an interrupted run continues where it was."""
    from portraitist.files import require_writable
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    import torch

    from portraitist.toyland.first.config import load_config
    from portraitist.toyland.first.making import STAGES, Workshop

    for name in stage or []:
        if name not in STAGES:
            raise BadConfig(f"toyland has no stage {name!r}; there are: {', '.join(STAGES)}")
    if precision not in ("no", "bf16"):
        raise BadConfig(f"precision must be no or bf16, not {precision!r}")
    settings = load_config(config)
    require_writable(folder)
    if threads:
        torch.set_num_threads(threads)
    workshop = Workshop(folder, settings, choose_device(device), precision, workers)
    chosen = tuple(name for name in STAGES if name in (stage or STAGES))
    workshop.make(chosen)
    for name, numbers in workshop.read_report().items():
        if name in chosen:
            fact(name, ", ".join(f"{key} {value:.4g}" for key, value in numbers.items()))
    fact("written", str(folder))


@app.command("export")
def export(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write the model into.")],
    folder: FolderOption = _FOLDER,
    config: ConfigOption = None,
) -> None:
    """Save the model as the denoiser's last checkpoint has it, before training has ended."""
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    from portraitist.toyland.first.config import load_config
    from portraitist.toyland.first.making import Workshop

    if output.exists():
        raise BadFile(f"{output} exists already; choose another folder with -o")
    step = Workshop(folder, load_config(config)).export_checkpoint(output)
    fact("step", str(step))
    fact("written", str(output))


@app.command("exam")
def exam(
    folder: FolderOption = _FOLDER,
    config: ConfigOption = None,
    questions: Annotated[int, typer.Option("-n", "--questions", min=1, help="Number of prompts.")] = 2000,
    device: DeviceOption = "auto",
) -> None:
    """Examine a trained toyland: how often its pictures show what their prompts ask for."""
    from portraitist.progress import quiet_libraries

    if not (folder / "pipeline" / "model_index.json").exists():
        raise BadFile(f"{folder} holds no finished toyland; train it with: portraitist toyland train --folder {folder}")
    quiet_libraries()
    from portraitist.toyland.first.config import load_config
    from portraitist.toyland.first.making import Workshop

    workshop = Workshop(folder, load_config(config), choose_device(device), questions=questions)
    workshop.make(("examiner", "exam"))
    say((folder / "exam" / "report.md").read_text().rstrip())
    fact("written", str(folder / "exam"))


@app.command("pictures")
def pictures(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many.")] = 36,
    output: Annotated[Path, typer.Option("-o", "--output", help="The sheet.")] = Path("toyland-pictures.png"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the drawings.")] = 0,
    columns: Annotated[int, typer.Option(min=1, help="Pictures per row.")] = 6,
) -> None:
    """Draw random pictures of toyland's world with their captions."""
    from portraitist.files import write_aside
    from portraitist.generation.sheets import caption_sheet
    from portraitist.randomness import numpy_generator
    from portraitist.toyland.first.world.captions import caption
    from portraitist.toyland.first.world.pictures import render, sample_picture

    drawn = []
    for index in range(count):
        rng = numpy_generator(seed, "pictures to look at", index)
        spec = sample_picture(rng)
        drawn.append((render(spec), caption(spec, rng)))
    with write_aside(output) as temporary:
        caption_sheet(drawn, columns=columns).save(temporary, format="PNG")
    fact("written", str(output))


@app.command("examples")
def examples(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write the examples into.")] = Path(
        "examples"
    ),
) -> None:
    """Copy the example subjects out: folders of photos to train on."""
    from portraitist.bases.examples import copy_examples, list_examples

    folders = copy_examples(output)
    for folder, example in zip(folders, list_examples(), strict=True):
        fact(example.class_noun, str(folder))
    fact("try", f"portraitist train {folders[0]} --class {list_examples()[0].class_noun}")


@app.command("subjects")
def subjects(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write the examples into.")] = Path(
        "subjects"
    ),
    split: SplitOption = "validation",
    each: Annotated[int, typer.Option(min=1, help="Number of subjects of each kind.")] = 1,
    photos: Annotated[int, typer.Option(min=1, max=9, help="Photos per subject, each in a different scene.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the subjects and of their photos.")] = 0,
) -> None:
    """Draw new subjects: folders of photos, as the examples are."""
    from portraitist.toyland.first.world.examples import write_examples

    if output.exists() and any(output.iterdir()):
        raise BadFile(f"{output} is not empty; choose another folder with -o")
    for identity in write_examples(output, seed, each, photos, split=split):
        fact(identity.kind, str(output / identity.name))

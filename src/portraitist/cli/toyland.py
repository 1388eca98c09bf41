"""``portraitist toyland``: making the embedded base model, and looking at its world."""

from pathlib import Path
from typing import Annotated

import typer

from portraitist.cli.options import DeviceOption, SplitOption, choose_device
from portraitist.cli.reporting import fact, say
from portraitist.errors import BadConfig, BadFile

app = typer.Typer(help="The embedded base model: train it again, look at its world.", no_args_is_help=True)


FolderOption = Annotated[Path, typer.Option(help="Where data, checkpoints and the model are.")]
ConfigOption = Annotated[
    Path | None, typer.Option(help="A YAML file of settings; the one of the shipped weights when not given.")
]
_FOLDER = Path("toyland-run")


@app.command("train")
def train(
    folder: FolderOption = _FOLDER,
    config: ConfigOption = None,
    stage: Annotated[list[str] | None, typer.Option(help="One stage, or several; all when not given.")] = None,
    device: DeviceOption = "auto",
    precision: Annotated[str, typer.Option(help="no (float32) or bf16.")] = "no",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of a CPU run.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw pictures.")] = 1,
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
        raise BadConfig(f"precision can be no or bf16, not {precision!r}")
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
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the model goes.")],
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
    questions: Annotated[int, typer.Option("-n", "--questions", min=1, help="How many prompts.")] = 2000,
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
    seed: Annotated[int, typer.Option(min=0, help="Seed of what is drawn.")] = 0,
    columns: Annotated[int, typer.Option(min=1, help="Pictures in a row.")] = 6,
) -> None:
    """Draw random pictures of toyland's world with their captions."""
    from portraitist.files import write_aside
    from portraitist.generation.sheets import caption_sheet
    from portraitist.randomness import numpy_generator
    from portraitist.toyland.world.captions import caption
    from portraitist.toyland.world.painting import render
    from portraitist.toyland.world.pictures import sample_picture

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
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the folders go.")] = Path("examples"),
) -> None:
    """Copy the example subjects out: folders of photos to train on."""
    from portraitist.bases.examples import copy_examples, list_examples

    folders = copy_examples(output)
    for folder, example in zip(folders, list_examples(), strict=True):
        fact(example.class_noun, str(folder))
    fact("try", f"portraitist train {folders[0]} --class {list_examples()[0].class_noun}")


@app.command("subjects")
def subjects(
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the folders go.")] = Path("subjects"),
    split: SplitOption = "validation",
    each: Annotated[int, typer.Option(min=1, help="Subjects of every kind.")] = 1,
    photos: Annotated[int, typer.Option(min=1, max=11, help="Photos of each, every one in another scene.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of who is drawn, and of the photos.")] = 0,
) -> None:
    """Draw new subjects: folders of photos, as the examples are."""
    from portraitist.toyland.world.examples import write_examples

    if output.exists() and any(output.iterdir()):
        raise BadFile(f"{output} is not empty; choose another folder with -o")
    for identity in write_examples(output, seed, each, photos, split=split):
        fact(identity.kind, str(output / identity.name))

"""``portraitist toyland``: making the embedded base model, and looking at its world."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portraitist.cli.launching import is_launched, launch
from portraitist.cli.options import DeviceOption, SplitOption, parse_settings
from portraitist.cli.reporting import fact
from portraitist.errors import BadConfig
from portraitist.requests.devices import choose_device

if TYPE_CHECKING:
    from portraitist.toyland.config import ToylandConfig
    from portraitist.training.networks.machine import Machine

app = typer.Typer(help="The embedded base model: train it, examine it, draw its world.", no_args_is_help=True)


FolderOption = Annotated[Path, typer.Option(help="Folder of data, checkpoints and the model.")]
ConfigOption = Annotated[
    Path | None, typer.Option(help="A YAML file of settings; by default the one used for the shipped weights.")
]
PrecisionOption = Annotated[str, typer.Option(help="no (float32) or bf16; auto: bf16 where the device has it.")]
CompileOption = Annotated[bool, typer.Option("--compile", help="Compile the networks.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads per process.")]
_FOLDER = Path("toyland-run")


@app.command("train")
def train(
    folder: FolderOption = _FOLDER,
    config: ConfigOption = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the file, e.g. denoiser.batch_size=64."),
    ] = None,
    stage: Annotated[
        list[str] | None, typer.Option(help="A stage to run; may be repeated. By default all of them.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Train for this many minutes, divided among the stages, instead of by steps.")
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    compiled: CompileOption = False,
    threads: ThreadsOption = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes on this machine that train together.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw pictures.")] = 1,
    hold: Annotated[
        bool | None,
        typer.Option(help="Keep pictures in the device's memory or on disk; by default in memory on a GPU."),
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Start from weights that another machine wrote with --return.")
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option("--return", help="Write the weights here from time to time, to continue on another machine."),
    ] = None,
) -> None:
    """Train toyland; an interrupted run continues where it was."""
    from portraitist.files import require_writable
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    from portraitist.toyland.config import load_config
    from portraitist.toyland.making import STAGES
    from portraitist.training.networks.machine import Machine
    from portraitist.training.networks.reports import read_report

    for name in stage or []:
        if name not in STAGES:
            raise BadConfig(f"toyland has no stage {name!r}; there are: {', '.join(STAGES)}")
    chosen = tuple(name for name in STAGES if name in (stage or STAGES))
    machine = Machine.choose(choose_device(device), precision, compiled)
    making = load_config(config, parse_settings(settings))
    require_writable(folder)
    if processes > 1 and not is_launched():
        raise typer.Exit(launch(processes, threads))
    holds = machine.device != "cpu" if hold is None else hold
    _make(folder, making, machine, holds, chosen, minutes, threads, workers, source, target)
    for name, numbers in read_report(folder).items():
        if name in chosen:
            fact(name, ", ".join(f"{key} {value:.4g}" for key, value in numbers.items()))
    fact("written", str(folder))


def _make(
    folder: Path,
    config: "ToylandConfig",
    machine: "Machine",
    holds_pictures: bool,
    stages: tuple[str, ...],
    minutes: float | None,
    threads: int | None,
    workers: int,
    source: Path | None,
    target: Path | None,
) -> None:
    """Run the stages."""
    import torch

    from portraitist.toyland.budgets import Budget
    from portraitist.toyland.making import Workshop
    from portraitist.toyland.returning import Returns, take_back, write_all
    from portraitist.toyland.worlds import toyland_world

    if threads:
        torch.set_num_threads(threads)
    if source is not None:
        take_back(source, folder)
    returns = Returns(folder, target) if target is not None else None
    workshop = Workshop(
        folder,
        config,
        toyland_world(),
        machine,
        holds_pictures,
        workers,
        None if minutes is None else Budget(minutes, stages, config.shares()),
        returns.attend if returns is not None else None,
    )
    workshop.make(stages)
    if target is not None:
        write_all(folder, target)


@app.command("speed")
def speed(
    stage: Annotated[str, typer.Option(help="autoencoder or denoiser.")] = "denoiser",
    sizes: Annotated[str, typer.Option("--batch-sizes", help="Batch sizes to try, e.g. 16,32,64.")] = "16,32,64",
    config: ConfigOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    compiled: CompileOption = False,
    threads: ThreadsOption = None,
) -> None:
    """Measure how fast a stage trains on this machine, at several batch sizes."""
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    import torch

    from portraitist.toyland.config import load_config
    from portraitist.toyland.speed import MEASURED, samples_a_second
    from portraitist.toyland.worlds import toyland_world
    from portraitist.training.networks.machine import Machine
    from portraitist.training.networks.throughput import choose_batch_size

    if stage not in MEASURED:
        raise BadConfig(f"what can be measured is {' or '.join(MEASURED)}, not {stage!r}")
    try:
        tried = [int(part) for part in sizes.split(",")]
    except ValueError as error:
        raise BadConfig(f"--batch-sizes takes numbers such as 16,32,64, not {sizes!r}") from error
    if threads:
        torch.set_num_threads(threads)
    machine, making = Machine.choose(choose_device(device), precision, compiled), load_config(config)
    resolution = toyland_world().resolution
    best, rates = choose_batch_size(lambda size: samples_a_second(stage, making, resolution, machine, size), tried)
    for size, rate in rates.items():
        fact(str(size), f"{rate:.1f} samples/s")
    fact("batch_size", str(best))


@app.command("export")
def export(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write the model into.")],
    folder: FolderOption = _FOLDER,
    config: ConfigOption = None,
) -> None:
    """Save the model from the denoiser's last checkpoint, before training has ended."""
    from portraitist.files import require_unused
    from portraitist.locks import output_held
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    from portraitist.toyland.config import load_config
    from portraitist.toyland.making import Workshop
    from portraitist.toyland.worlds import toyland_world
    from portraitist.training.networks.machine import Machine

    with output_held(output, "an export", lambda: require_unused(output)):
        step = Workshop(folder, load_config(config), toyland_world(), Machine()).export(output)
    fact("step", str(step))
    fact("written", str(output))


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
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write the examples into.")] = Path(
        "examples"
    ),
) -> None:
    """Copy the example subjects into a folder: photos to train on."""
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
    """Draw new subjects: folders of photos like the examples."""
    from portraitist.files import require_unused
    from portraitist.toyland.world.examples import write_examples

    require_unused(output, folder=True)
    for identity in write_examples(output, seed, each, photos, split=split):
        fact(identity.kind, str(output / identity.name))

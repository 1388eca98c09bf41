"""``portraitist toyland judges, examine, frechet, beside``: training toyland's judges, and judging a toyland."""

from pathlib import Path
from typing import Annotated

import typer

from portraitist.cli.options import DeviceOption, parse_settings
from portraitist.cli.reporting import fact, say
from portraitist.errors import BadConfig
from portraitist.requests.devices import choose_device

BaseArgument = Annotated[str, typer.Argument(help="A toyland: toyland, or a folder in the diffusers layout.")]
StepsOption = Annotated[int | None, typer.Option(min=1, help="Sampling steps per picture.")]
GuidanceOption = Annotated[
    float | None, typer.Option(min=1, help="Scale of classifier-free guidance; by default the base's.")
]
_FOLDER = Path("toyland-judges")


def judges(
    base: BaseArgument,
    folder: Annotated[Path, typer.Option(help="Folder of checkpoints and the finished judges.")] = _FOLDER,
    config: Annotated[
        Path | None, typer.Option(help="A YAML file of settings; by default those of the shipped judges.")
    ] = None,
    stage: Annotated[
        list[str] | None,
        typer.Option(help="A judge to train; may be repeated. By default all judges; second-identity only if named."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the file, e.g. identity.steps=3000."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Train for this many minutes, divided among the judges, instead of by steps.")
    ] = None,
    device: DeviceOption = "auto",
    precision: Annotated[
        str, typer.Option(help="no (float32), as the shipped judges; bf16; or auto: bf16 where the device has it.")
    ] = "no",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
) -> None:
    """Train the networks that examine and compare toyland's pictures; an interrupted run continues."""
    from portraitist.files import require_writable
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    import torch

    from portraitist.bases import load_base
    from portraitist.toyland.budgets import Budget
    from portraitist.toyland.judges.config import load_judges_config
    from portraitist.toyland.judges.workshop import FURTHER_STAGES, STAGES, JudgesWorkshop
    from portraitist.training.networks.machine import Machine
    from portraitist.training.networks.reports import read_report

    known = (*STAGES, *FURTHER_STAGES)
    for name in stage or []:
        if name not in known:
            raise BadConfig(f"toyland has no judge {name!r}; there are: {', '.join(known)}")
    chosen = tuple(name for name in known if name in (stage or STAGES))
    machine = Machine.choose(choose_device(device), precision)
    making = load_judges_config(config, parse_settings(settings))
    require_writable(folder)
    if threads:
        torch.set_num_threads(threads)
    budget = None if minutes is None else Budget(minutes, chosen, making.shares())
    JudgesWorkshop(folder, making, load_base(base, machine.device), machine, budget).make(chosen)
    for name, numbers in read_report(folder).items():
        if name in chosen:
            fact(name, ", ".join(f"{key} {value:.4g}" for key, value in numbers.items()))
    fact("written", str(folder / "judges"))


def examine(
    base: BaseArgument,
    examiner: Annotated[
        Path | None, typer.Option(help="Folder of an examiner; by default the one that ships with the package.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the report.")] = Path("toyland-exam"),
    questions: Annotated[int, typer.Option("-n", "--questions", min=1, help="Number of prompts.")] = 2000,
    steps: StepsOption = 25,
    guidance: GuidanceOption = None,
    choose: Annotated[
        bool, typer.Option(help="First choose the guidance scale on other prompts, a tenth as many as are measured.")
    ] = True,
    device: DeviceOption = "auto",
) -> None:
    """Measure how often a toyland model's pictures show what their prompts ask for."""
    from portraitist.locks import held
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    from portraitist.bases import load_base
    from portraitist.generation import SamplingConfig
    from portraitist.toyland.judges.exam import choose_guidance
    from portraitist.toyland.judges.exam import examine as hold_exam
    from portraitist.toyland.judges.examiner import BUILTIN, Examiner

    place = choose_device(device)
    reader, subject = Examiner.load(examiner or BUILTIN).to(place), load_base(base, place)
    with held(output, "an exam", instead="choose another folder with -o"):
        if choose and guidance is None:
            guidance, tried = choose_guidance(subject, reader, count=max(1, questions // 10), steps=steps or 25)
            fact("guidance", ", ".join(f"{weight:g}: {report.mean:.1%}" for weight, report in tried.items()))
        report = hold_exam(subject, reader, questions, SamplingConfig(steps, guidance, batch_size=32))
        report.save(output)
    say(report.markdown().rstrip())
    fact("written", str(output))


def frechet(
    bases: Annotated[list[str], typer.Argument(help="Toylands: toyland, or folders in the diffusers layout.")],
    count: Annotated[int, typer.Option("-n", "--pictures", min=2, help="Number of pictures of each kind.")] = 5000,
    folder: Annotated[
        Path, typer.Option(help="Folder of the features, from which an interrupted measurement continues.")
    ] = Path("toyland-frechet"),
    encoder: Annotated[str, typer.Option(help="Encoder whose features are compared.")] = "efficientnet-lite0",
    steps: StepsOption = None,
    guidance: GuidanceOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Measure the Fréchet distance between a toyland model's pictures and drawn ones with the same captions."""
    from portraitist.files import require_writable
    from portraitist.locks import held
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    from portraitist.bases import load_base
    from portraitist.generation import SamplingConfig
    from portraitist.toyland.judges.distance import load_judge, measure_distance, require_toyland

    require_writable(folder)
    place = choose_device(device)
    judge = load_judge(encoder, place)
    fact("encoder", f"{judge.name} ({judge.revision}; {judge.preprocessing})")
    with held(folder, "a measurement", instead="choose another folder with --folder"):
        for name in bases:
            base = load_base(name, place)
            require_toyland(base)
            distance = measure_distance(base, judge, folder, count, SamplingConfig(steps, guidance, batch_size=32))
            fact(distance.base, f"{distance.value:.2f} ({distance.pictures} pictures, {distance.sampling})")
            fact("two halves of the drawn ones", f"{distance.floor:.2f}")


def beside(
    base: BaseArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The sheet to write, a WebP file.")] = Path(
        "toyland-beside.webp"
    ),
    count: Annotated[int, typer.Option("-n", "--pictures", min=1, help="Number of pictures of each kind.")] = 64,
    columns: Annotated[int, typer.Option(min=1, help="Pictures per row of each kind.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the drawn pictures and of the noise.")] = 41,
    steps: StepsOption = None,
    guidance: GuidanceOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Show a toyland model's pictures (left) beside drawn ones with the same captions."""
    from portraitist.files import write_aside
    from portraitist.locks import output_held
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    from portraitist.bases import load_base
    from portraitist.generation import SamplingConfig
    from portraitist.photos import encode_for_page
    from portraitist.toyland.judges.distance import beside as lay_out

    sampling = SamplingConfig(steps, guidance, batch_size=32)
    with output_held(output, "a sheet"):
        sheet = lay_out(load_base(base, choose_device(device)), count, columns, config=sampling, seed=seed)
        with write_aside(output) as temporary:
            temporary.write_bytes(encode_for_page(sheet))
    fact("written", str(output))

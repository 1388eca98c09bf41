"""``portraitist hypernetwork``: training networks that turn photos into adapters, and looking at them."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from portraitist.cli.options import DeviceOption, parse_settings
from portraitist.cli.reporting import fact, say
from portraitist.errors import BadConfig
from portraitist.units import in_bytes, in_time

app = typer.Typer(help="Networks that turn a photo into an adapter: train, list, inspect.", no_args_is_help=True)


@app.command("train")
def train(
    method: Annotated[str, typer.Argument(help="What to train: hyperdreambooth or difflora.", show_default=False)],
    identities: Annotated[
        Path, typer.Option(metavar="SET", help="A set of identities, made with `portraitist identities`.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the hypernetwork.")],
    recipe: Annotated[
        str, typer.Option(help="A recipe of `portraitist hypernetwork list`, or a YAML file.")
    ] = "portraitist",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the recipe, e.g. training.batch_size=16."),
    ] = None,
    stage: Annotated[
        str,
        typer.Option(help="For difflora: train the autoencoder or the generator only; by default both in turn."),
    ] = "",
    changes_of: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="For hyperdreambooth: begin with the learned changes of this hypernetwork, which is much faster.",
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Which of the set's identities: train, validation, test, or all.")
    ] = "train",
    kind: Annotated[list[str] | None, typer.Option(help="Only identities of this kind; may be repeated.")] = None,
    count: Annotated[int | None, typer.Option("-n", "--count", min=2, help="Use only this many identities.")] = None,
    flagged: Annotated[bool, typer.Option("--flagged", help="Also use identities that the set flags as poor.")] = False,
    base: Annotated[str | None, typer.Option(help="The base; by default the one the set was made with.")] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Minutes to train, instead of the recipe's steps; run again to continue."),
    ] = None,
    device: DeviceOption = "auto",
    precision: Annotated[str, typer.Option(help="no (float32) or bf16; auto: bf16 where the device has it.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
) -> None:
    """Train a hypernetwork on a set of identities; the same command continues an interrupted run."""
    from portraitist.progress import quiet_libraries

    changes = parse_settings(settings)
    quiet_libraries()
    import torch

    from portraitist.hypernetworks.identities.identity_set import IdentitySet
    from portraitist.hypernetworks.making import PredictorWorkshop, choose_identities
    from portraitist.hypernetworks.saved import load_hypernetwork
    from portraitist.hypernetworks.systems import get_system
    from portraitist.requests.choices import BaseChoice
    from portraitist.requests.devices import choose_device
    from portraitist.requests.jobs.opening import open_base
    from portraitist.training.networks.machine import Machine

    if threads:
        torch.set_num_threads(threads)
    system = get_system(method)
    chosen = system.load_recipe(recipe, changes)
    known = IdentitySet.open(identities)
    opened, _ = open_base(BaseChoice(name=base or known.settings.base, device=device))
    machine = Machine.choose(choose_device(device), precision)
    members = choose_identities(known, split, kind or (), count, flagged)
    name = Path(recipe).stem
    workshop = system.workshop(output, name, chosen, members, opened, machine, minutes, stage=stage)
    if changes_of is not None:
        if not isinstance(workshop, PredictorWorkshop):
            raise BadConfig(f"--changes-of: {method} has no learned changes, only hyperdreambooth; leave it out")
        other = load_hypernetwork(changes_of)
        said = f"{Path(changes_of).name}, trained for {other.description.steps:,} steps"
        workshop = replace(workshop, changes_of=other.predictor, begun_with=said)
    made = workshop.train()
    if made is None:
        fact("trained", f"the stage {stage} in {output}; the same command without --stage continues")
        return
    _show(str(output), output)


@app.command("list")
def list_all() -> None:
    """List the hypernetworks that ship with the package, and the recipes to train others."""
    from portraitist.hypernetworks.description import read_description
    from portraitist.hypernetworks.saved import list_hypernetworks
    from portraitist.hypernetworks.systems import SYSTEMS

    shipped = list_hypernetworks()
    for name, folder in shipped.items():
        description = read_description(folder)
        kinds = ", ".join(f"{count:,} x {kind}" for kind, count in description.kinds.items())
        fact(
            name, f"{description.method}, recipe {description.recipe_name}, for {description.base_facts.name}; {kinds}"
        )
    if not shipped:
        say("no hypernetwork ships with this version; train one:")
    for system in SYSTEMS.values():
        fact("recipes", f"{system.name}: {', '.join(system.recipes)}")
        learns = f" --target {system.target}" if system.target else ""
        fact("make a set", f"portraitist identities SOURCE -o SET{learns}")
        fact("train on it", f"portraitist hypernetwork train {system.name} --identities SET -o FOLDER")


@app.command("inspect")
def inspect(
    hypernetwork: Annotated[
        str, typer.Argument(help="A shipped hypernetwork's name, or a folder.", show_default=False)
    ],
) -> None:
    """Describe a hypernetwork: what it sees and predicts, for which base, and whom it was trained on."""
    from portraitist.hypernetworks.saved import locate

    _show(hypernetwork, locate(hypernetwork))


def _show(name: str, folder: Path) -> None:
    from portraitist.hypernetworks.description import WEIGHTS, read_description

    description = read_description(folder)
    fact("name", name)
    fact("method", f"{description.method}, recipe {description.recipe_name}")
    fact("predicts", description.output)
    for head, words in description.details.items():
        fact(head, words)
    fact("base", str(description.base_facts))
    for encoder in description.encoders:
        fact("sees with", str(encoder))
    fact("trained on", ", ".join(f"{count:,} of class {kind}" for kind, count in description.kinds.items()))
    if description.begun_with:
        fact("began with", f"the learned changes of {description.begun_with}")
    fact("training", f"{description.steps:,} steps in {in_time(description.seconds)}")
    fact("size", in_bytes((folder / WEIGHTS).stat().st_size))
    kind = next(iter(description.kinds), "person")
    fact("try", f"portraitist instant PHOTO --class {kind} -o one.safetensors --hypernetwork {name}")

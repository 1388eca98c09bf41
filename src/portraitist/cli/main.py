"""The command ``portraitist``: assembles the subcommands."""

from typing import Annotated

import typer

from portraitist import __version__
from portraitist.bases.hub import go_offline
from portraitist.cli import (
    convert,
    count,
    demo,
    edit,
    editing,
    evaluate,
    generate,
    hypernetwork,
    identities,
    inspect,
    instant,
    judges,
    merge,
    methods,
    pairs,
    plan,
    prepare,
    recipes,
    similarity,
    strip,
    study,
    toyland,
    train,
)
from portraitist.cli.reporting import OFFLINE, Commands

_PICTURES = "From photos to pictures"
_FILES = "Adapter files"
_NETWORKS = "From many subjects to a network"
_CHOICE = "Choosing and measuring"
_BASE = "The embedded base model"

app = typer.Typer(
    cls=Commands,
    help="Teach a text-to-image diffusion model a new subject, in a file smaller than a photo.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"portraitist {__version__}")
        raise typer.Exit


@app.callback()
def _portraitist(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop.")
    ] = False,
    offline: Annotated[
        bool, typer.Option(OFFLINE, help="Fetch nothing from the Hugging Face hub, as HF_HUB_OFFLINE=1 does.")
    ] = False,
) -> None:
    if offline:
        go_offline()


app.command("prepare", rich_help_panel=_PICTURES)(prepare.prepare)
app.command("plan", rich_help_panel=_PICTURES)(plan.plan)
app.command("train", rich_help_panel=_PICTURES)(train.train)
app.command("generate", rich_help_panel=_PICTURES)(generate.generate)
app.command("instant", rich_help_panel=_PICTURES)(instant.instant)
app.command("edit", rich_help_panel=_PICTURES)(edit.edit)
app.command("demo", rich_help_panel=_PICTURES)(demo.demo)
app.command("inspect", rich_help_panel=_FILES)(inspect.inspect)
app.command("convert", rich_help_panel=_FILES)(convert.convert)
app.command("merge", rich_help_panel=_FILES)(merge.merge)
app.command("strip", rich_help_panel=_FILES)(strip.strip)
app.command("similarity", rich_help_panel=_FILES)(similarity.similarity)
app.command("identities", rich_help_panel=_NETWORKS)(identities.identities)
app.command("methods", rich_help_panel=_CHOICE)(methods.methods)
app.command("recipes", rich_help_panel=_CHOICE)(recipes.recipes)
app.command("count", rich_help_panel=_CHOICE)(count.count)
app.command("evaluate", rich_help_panel=_CHOICE)(evaluate.evaluate)
app.command("study", rich_help_panel=_CHOICE)(study.study)
toyland.app.command("editing")(editing.editing)
toyland.app.command("pairs")(pairs.pairs)
toyland.app.command("judges")(judges.judges)
toyland.app.command("examine")(judges.examine)
toyland.app.command("frechet")(judges.frechet)
toyland.app.command("beside")(judges.beside)
app.add_typer(hypernetwork.app, name="hypernetwork", rich_help_panel=_NETWORKS)
app.add_typer(toyland.app, name="toyland", rich_help_panel=_BASE)

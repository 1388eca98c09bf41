"""The command ``portraitist``: assembles the subcommands."""

from typing import Annotated

import typer

from portraitist import __version__
from portraitist.cli import (
    convert,
    count,
    demo,
    edit,
    editing,
    evaluate,
    generate,
    inspect,
    merge,
    methods,
    pairs,
    prepare,
    recipes,
    similarity,
    strip,
    study,
    toyland,
    train,
)
from portraitist.cli.reporting import Commands

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
) -> None:
    pass


app.command("prepare")(prepare.prepare)
app.command("train")(train.train)
app.command("generate")(generate.generate)
app.command("edit")(edit.edit)
app.command("evaluate")(evaluate.evaluate)
app.command("inspect")(inspect.inspect)
app.command("convert")(convert.convert)
app.command("merge")(merge.merge)
app.command("strip")(strip.strip)
app.command("similarity")(similarity.similarity)
app.command("methods")(methods.methods)
app.command("recipes")(recipes.recipes)
app.command("count")(count.count)
app.command("demo")(demo.demo)
app.command("study")(study.study)
toyland.app.command("editing")(editing.editing)
toyland.app.command("pairs")(pairs.pairs)
app.add_typer(toyland.app, name="toyland")

if __name__ == "__main__":
    app()

"""``portraitist convert``: an adapter file in another format."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portraitist.cli.options import DtypeOption, OtherBaseOption, RankOption
from portraitist.cli.reporting import fact
from portraitist.requests.devices import choose_precision
from portraitist.units import counted, first_few, in_bytes

if TYPE_CHECKING:
    from portraitist.exchange.exporting import Export


def convert(
    file: Annotated[Path, typer.Argument(help="An adapter of any known format.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="File or folder to write.")],
    to: Annotated[
        str,
        typer.Option(
            help="portraitist, diffusers, peft, kohya, lokr or svdiff-pytorch; or comfyui, a1111, forge (kohya)."
        ),
    ],
    rank: RankOption = None,
    dtype: DtypeOption = None,
    base: OtherBaseOption = None,
    force: Annotated[bool, typer.Option("--force", help="Convert an adapter that was made for another base.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Overwrite the target if it exists.")] = False,
    thumbnail: Annotated[
        Path | None,
        typer.Option(metavar="PICTURE", help="A picture that programs show for the adapter; kept in its file, small."),
    ] = None,
) -> None:
    """Write an adapter in another format; methods that it cannot hold become LoRA, and what is lost is reported."""
    from portraitist.progress import quiet_libraries
    from portraitist.requests.choices import check_adapter

    check_adapter(file)
    precision = choose_precision(dtype)

    quiet_libraries()
    from portraitist.bases import load_base
    from portraitist.exchange import converting
    from portraitist.exchange.exporting import check_target

    check_target(output, to, overwrite)
    report = converting.convert(
        file,
        output,
        to,
        rank=rank,
        dtype=precision,
        base=None if base is None else load_base(base),
        force=force,
        overwrite=overwrite,
        thumbnail=thumbnail,
    )
    show_export(report)


def show_export(report: "Export") -> None:
    """Print what was written, and what was lost."""
    from portraitist.exchange.formats import get_format

    files = get_format(report.format).files(report.path)
    size = in_bytes(sum(file.stat().st_size for file in files))
    fact("written", f"{report.path} ({report.format}, {size})")
    method = report.written.method
    rank = f" of rank {method.plain_config(report.written.config)['rank']}" if method.name == "lora" else ""
    fact("method", f"{method.name}{rank} on {len(report.written.layers)} layers")
    if report.effect is not None:
        fact("kept", f"{max(report.effect, 0.0):.1%} of the adapter's effect on what the base predicts")
    if report.energy:
        fact("weights", _kept(report))
    if report.dropped:
        layers = counted(len(report.dropped), "layer")
        fact("left out", f"{layers} that the format cannot hold: {first_few(report.dropped)}")
    if report.effect is None and report.dropped:
        fact("", "their effect on pictures is lost; add --base to measure it")


def _kept(report: "Export") -> str:
    """Say how much of the change a conversion to LoRA kept."""
    from portraitist.adapters.algebra import EXACT

    worst = min(report.energy, key=lambda layer: report.energy[layer])
    if report.energy[worst] > EXACT:
        return "the whole change, exactly" if not report.dropped else "of the layers that are kept, the whole change"
    mean = sum(report.energy.values()) / len(report.energy)
    kept = (
        f"{_share(mean)} of the change's energy on average, {_share(report.energy[worst])} in the worst layer, {worst}"
    )
    return f"of the layers that are kept, {kept}" if report.dropped else kept


def _share(value: float) -> str:
    """Return a share in per cent; one that is not whole is never rounded to the whole."""
    return f"{min(value, 0.9999):.2%}"

"""``portraitist merge``: several adapters into one, or into a base's weights for good."""

from pathlib import Path
from typing import Annotated

import typer

from portraitist.cli.convert import show_export
from portraitist.cli.options import DtypeOption, OtherBaseOption, RankOption, parse_weights
from portraitist.cli.reporting import fact
from portraitist.errors import BadConfig
from portraitist.requests.devices import choose_precision

_MIX = "style-mix"


def merge(
    adapters: Annotated[list[Path], typer.Argument(help="Adapters of any known formats.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write; a folder with --into-base.")],
    weights: Annotated[
        str | None, typer.Option(metavar="W,W,...", help="A weight for each adapter; 1 by default.")
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            help="add; interpolate (weights are divided by their sum); or style-mix (geometry of the first, appearance"
            " of the second)."
        ),
    ] = "add",
    geometry: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="For style-mix: layers that determine geometry; by default the published ones."
        ),
    ] = None,
    rank: RankOption = None,
    to: Annotated[str, typer.Option(help="Format of the file; see `convert`.")] = "portraitist",
    into_base: Annotated[
        bool, typer.Option("--into-base", help="Write the whole base with the adapters merged into its weights.")
    ] = False,
    dtype: DtypeOption = None,
    base: OtherBaseOption = None,
    force: Annotated[bool, typer.Option("--force", help="Merge adapters that were made for different bases.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Overwrite an existing adapter file.")] = False,
) -> None:
    """Merge adapters into one or, with --into-base, into a model folder that no longer needs an adapter."""
    precision, factors = choose_precision(dtype), parse_weights(weights)
    if mode not in ("add", "interpolate", _MIX):
        raise BadConfig(f"unknown mode {mode!r}; choose add, interpolate or {_MIX}")
    if mode == _MIX and into_base:
        raise BadConfig(f"--into-base adds adapters; write the {_MIX} to a file first, then merge that file")
    if geometry and mode != _MIX:
        raise BadConfig(f"--geometry is for --mode {_MIX}")
    if into_base and (rank is not None or to != "portraitist" or overwrite):
        raise BadConfig("--rank, --to and --overwrite are for adapter files; --into-base writes a new model folder")

    from portraitist.progress import quiet_libraries

    quiet_libraries()
    import torch

    from portraitist.bases import load_base
    from portraitist.exchange.exporting import check_target
    from portraitist.exchange.loading import find_base, load_for
    from portraitist.exchange.merging import merge_adapters, merge_into_base, merge_weights
    from portraitist.files import require_unused
    from portraitist.requests.choices import name_files

    if not into_base:
        check_target(output, to, overwrite)
        report = merge_adapters(
            adapters,
            output,
            to,
            weights=factors,
            mode=mode,  # type: ignore[arg-type]
            geometry=geometry or (),
            rank=rank,
            dtype=precision,
            base=None if base is None else load_base(base),
            force=force,
            overwrite=overwrite,
        )
        show_export(report)
        return
    names = name_files(adapters)
    scales = merge_weights(len(adapters), factors, mode)  # type: ignore[arg-type]
    require_unused(output, folder=True)
    loaded = load_base(base or find_base(adapters), dtype=precision or torch.float32)
    parts = {names[path]: (load_for(loaded, path, force), scale) for path, scale in zip(adapters, scales, strict=True)}
    merge_into_base(loaded, parts, output, force=force)
    fact("written", f"{output}, {loaded.name} with {len(parts)} adapter{'s' * (len(parts) > 1)} in its weights")
    fact("try", f'portraitist generate "..." --base {output}')

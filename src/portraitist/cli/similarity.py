"""``portraitist similarity``: where in the model adapters do the same."""

from itertools import combinations
from pathlib import Path
from typing import Annotated

import typer

from portraitist.cli.options import OtherBaseOption
from portraitist.cli.reporting import fact
from portraitist.errors import BadConfig


def similarity(
    adapters: Annotated[list[Path], typer.Argument(help="Two or more adapters of any format.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="The heat map.")] = Path("similarity.png"),
    base: OtherBaseOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Overwrite an existing picture.")] = False,
) -> None:
    """Compare adapters layer by layer: cosine similarities of their changes, as a heat map with means."""
    if len(adapters) < 2:
        raise BadConfig("a comparison needs at least two adapters")

    from portraitist.files import require_unused, require_writable, write_aside
    from portraitist.locks import output_held
    from portraitist.progress import quiet_libraries

    require_unused(output, overwrite)
    quiet_libraries()
    from portraitist.adapters.algebra import bind
    from portraitist.adapters.mixing import layer_similarities
    from portraitist.bases import Base, load_base
    from portraitist.exchange.loading import load_for, with_base_if_needed
    from portraitist.generation.heat_maps import draw_heat_map

    def compare(known: Base | None) -> list[tuple[str, dict[str, float]]]:
        loaded = {path: load_for(known, path) for path in adapters}
        if known is not None:
            for adapter in loaded.values():
                bind(adapter, known.components)
        return [
            (f"{one.stem}, {other.stem}", layer_similarities(loaded[one], loaded[other]))
            for one, other in combinations(loaded, 2)
        ]

    with output_held(output, "a comparison", lambda: require_unused(output, overwrite)):
        require_writable(output.parent)
        rows = with_base_if_needed(compare, adapters, None if base is None else load_base(base))
        with write_aside(output) as temporary:
            draw_heat_map(rows, "cosine similarity of the changes, layer by layer; mean").save(temporary, format="PNG")
    for caption, values in rows:
        fact(f"{sum(values.values()) / len(values):+.3f}", f"{caption}, {len(values)} layers")
    fact("written", str(output))

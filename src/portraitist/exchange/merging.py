"""Several adapters into one, or into a base's weights for good: a model folder that every diffusers program loads."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch

from portraitist import __version__
from portraitist.adapters import Adapter, Attachment, add
from portraitist.adapters.algebra import bind
from portraitist.adapters.mixing import style_mix
from portraitist.bases import Base
from portraitist.bases.layers import geometry_layers
from portraitist.errors import BadConfig, MissingBase
from portraitist.exchange.compatibility import check_base
from portraitist.exchange.exporting import DEFAULT_RANK, Export, export_within_default_rank, target_held
from portraitist.exchange.loading import load_for, with_base_if_needed
from portraitist.files import require_unused, write_folder_aside
from portraitist.locks import output_held

MergeMode = Literal["add", "interpolate", "style-mix"]
# Beside model_index.json in the folder: what was merged.
NOTE = "merged_adapters.json"


def merge_adapters(
    sources: Sequence[Path],
    target: Path,
    format: str = "portraitist",
    *,
    weights: Sequence[float] | None = None,
    mode: MergeMode = "add",
    geometry: Sequence[str] = (),
    rank: int | None = None,
    dtype: torch.dtype | None = None,
    base: Base | None = None,
    force: bool = False,
    overwrite: bool = False,
) -> Export:
    """Write the weighted sum of adapter files as one adapter, or a style mix of two.

    Adapters of one method stay of it where it is closed under addition; others are added as exact LoRA.

    Args:
        sources: Files or folders of any known formats.
        target: File or folder to write.
        format: Name of its format.
        weights: One for each; 1 when not given.
        mode: ``add`` takes the weights as they are, ``interpolate`` divides them by their sum; ``style-mix`` takes the
            geometry of the first and the appearance of the second.
        geometry: Patterns of the layers that shape a subject; those known for the base when not given.
        rank: Maximum rank of the LoRA that it becomes. When not given, a sum of changes of low rank stays exact, and
            one with changes of full rank keeps the `DEFAULT_RANK` largest terms.
        dtype: Precision of the numbers; float32 when not given.
        base: Their base. When not given, the one the files name is loaded if it is needed.
        force: Add adapters that were made for different bases.
        overwrite: Replace what is there.

    Raises:
        BadConfig: If they have no common form, or the format cannot hold it.
        BadFile: If a source is damaged, or the target is there already.
    """
    factors = merge_weights(len(sources), weights, mode)

    def write(base: Base | None) -> Export:
        adapters = [load_for(base, source, force) for source in sources]
        if base is not None:
            for adapter in adapters:
                bind(adapter, base.components)
        if mode == "style-mix":
            total = style_mix(adapters[0], adapters[1], geometry or _geometry(adapters, base), force)
        else:
            total = add(adapters, factors, force, names=[source.name for source in sources])
        total.provenance.facts["merged"] = [
            {"file": source.name, "weight": weight, "method": adapter.method.name}
            for source, weight, adapter in zip(sources, factors, adapters, strict=True)
        ]
        became_lora = total.method.name == "lora" and any(adapter.method.full_rank for adapter in adapters)
        highest = DEFAULT_RANK if rank is None and became_lora else rank
        components = None if base is None else base.components
        return export_within_default_rank(total, target, format, components, highest, dtype)

    with target_held(target, format, overwrite):
        return with_base_if_needed(write, sources, base)


def _geometry(adapters: Sequence[Adapter], base: Base | None) -> tuple[str, ...]:
    """Return the layers that shape a subject on the base, or on the one that an adapter names."""
    if base is not None:
        return geometry_layers(base.name, base.family.name)
    for adapter in adapters:
        noted = adapter.provenance.base
        if noted is not None and noted.family is not None:
            return geometry_layers(str(noted.name), noted.family)
    raise MissingBase("the adapters do not say which base they were made for; name it with --base")


def merge_weights(count: int, weights: Sequence[float] | None, mode: MergeMode) -> list[float]:
    """Return the weights with which adapters are added.

    Raises:
        BadConfig: If there are not as many as adapters, or they cannot be interpolated with.
    """
    factors = [1.0] * count if weights is None else list(weights)
    if len(factors) != count:
        raise BadConfig(f"{count} adapters need {count} weights, not {len(factors)}")
    if mode == "add":
        return factors
    if mode == "style-mix":
        if count != 2 or weights is not None:
            raise BadConfig(
                "a style mix takes exactly two adapters, the first for geometry and the second for appearance,"
                " and no weights"
            )
        return factors
    if sum(factors) <= 0:
        raise BadConfig(
            f"interpolation divides weights by their sum, which is {sum(factors):g} here; use --mode add instead"
        )
    return [weight / sum(factors) for weight in factors]


def merge_into_base(
    base: Base, adapters: Mapping[str, tuple[Adapter, float]], folder: Path, *, force: bool = False
) -> None:
    """Write a base with adapters added into its weights, as a folder in the diffusers layout.

    Args:
        base: The base, in the precision that the folder is to have; it is left as found.
        adapters: Adapters with their scales, by the names to note.
        folder: Folder to write; it appears complete or not at all.
        force: Merge adapters that were made for another base.

    Raises:
        BadFile: If the folder is there already and not empty.
        InUse: If another process writes it.
        BaseMismatch: If an adapter was made for another base.
        BadConfig: If an adapter does not fit the base.
    """
    with output_held(folder, "the writing of a model", lambda: require_unused(folder, folder=True)):
        for adapter, _ in adapters.values():
            check_base(adapter, base, force)
        attachment = Attachment(base.components)
        try:
            for name, (adapter, scale) in adapters.items():
                attachment.attach(adapter, name, scale)
            attachment.merge()
            with write_folder_aside(folder) as temporary:
                base.pipeline.save_pretrained(temporary, safe_serialization=True)
                (temporary / NOTE).write_text(json.dumps(_describe(base, adapters), indent=2), encoding="utf-8")
        finally:
            attachment.detach()


def _describe(base: Base, adapters: Mapping[str, tuple[Adapter, float]]) -> dict[str, object]:
    return {
        "base": {"name": base.name, "family": base.family.name},
        "adapters": [
            {
                "file": name,
                "scale": scale,
                "method": adapter.method.name,
                "trigger": adapter.provenance.trigger,
            }
            for name, (adapter, scale) in adapters.items()
        ],
        "portraitist_version": __version__,
    }

"""DoRA's magnitudes as PEFT and LyCORIS write them, beside the factors of a LoRA.

Both keep the lengths themselves; `portraitist.adapters.methods.dora` keeps how far they are from the base's, so the
base is needed to read them. PEFT's are one a row, LyCORIS' as it was trained: ``[out, 1, ...]`` or ``[1, in, ...]``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.finding import find_module
from portraitist.adapters.layer import require_plain
from portraitist.adapters.layouts.dora import AXES
from portraitist.adapters.methods.dora import lengths
from portraitist.adapters.provenance import Provenance
from portraitist.adapters.space import Space
from portraitist.errors import BadFile, MissingBase
from portraitist.exchange.assembling import Factors, build_lora
from portraitist.exchange.fused import is_fused, parts_of, split_rows
from portraitist.exchange.naming import Naming
from portraitist.exchange.tensor_files import Tensors

_LYCORIS = ".dora_scale"
_PEFT = (".lora_magnitude_vector", ".lora_magnitude_vector.weight")


def take_magnitude(file: Tensors, stem: str) -> Tensor | None:
    """Take a layer's magnitudes, if it has some: PEFT's as ``[out]``, LyCORIS' in their own shape."""
    for suffix in _PEFT:
        found = file.take(stem + suffix)
        if found is not None:
            return found.flatten()
    return file.take(stem + _LYCORIS)


def build_lora_or_dora(
    path: Path,
    naming: Naming,
    factors: Mapping[str, Factors],
    magnitudes: Mapping[str, Tensor | None],
    metadata: Mapping[str, Any],
) -> Adapter:
    """Build a LoRA, or a DoRA where layers have magnitudes.

    Args:
        path: The file.
        naming: Knows the base.
        factors: By layer.
        magnitudes: What `take_magnitude` found, by the file's name of the layer.
        metadata: What is known of the adapter.

    Raises:
        BadFile: If they do not fit.
        MissingBase: If there are magnitudes, and no base.
    """
    lora = build_lora(path, factors, metadata)
    found = _by_layer(path, factors, {layer: value for layer, value in magnitudes.items() if value is not None})
    if not found:
        return lora
    if other := sorted(factors.keys() ^ found.keys()):
        raise BadFile(f"{path} holds DoRA, but {other[0]} has no magnitudes, or nothing but them; no DoRA is mixed")
    if naming.components is None:
        raise MissingBase(f"{path} holds DoRA, whose magnitudes mean something only with the weights of its base")
    axes = {_axis(path, factors[layer].spec.shape, value, layer) for layer, value in found.items()}
    if len(axes) > 1:
        raise BadFile(f"{path} has magnitudes of rows in some layers and of columns in others; no DoRA has")
    (axis,) = axes
    config: Any = lora.config
    space = Space.of("dora", {"rank": config.rank, "alpha": config.alpha, "axis": axis}, lora.space.specs.values())
    values: dict[str, dict[str, Tensor]] = {}
    for layer, value in found.items():
        spec = space.specs[layer]
        weight = find_module(naming.components, spec).weight.detach()
        require_plain(weight, f"dora on {layer}")
        own = lengths(weight.float(), spec, axis).flatten()
        values[layer] = {**lora.values[layer], "magnitude": nn.Parameter(value.flatten() - own, requires_grad=False)}
    return Adapter(space, values, Provenance(dict(metadata)))


def _by_layer(path: Path, factors: Mapping[str, Factors], found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the rows of layers that are one in the file and several in the base to those they belong to.

    Raises:
        BadFile: If such a layer has magnitudes of its columns, whose lengths run through all parts.
    """
    split: dict[str, Tensor] = {}
    for layer, value in found.items():
        parts = [factors[part] for part in parts_of(layer) if part in factors] if is_fused(layer) else []
        if not parts:
            split[layer] = value
        elif value.numel() != len(value):
            raise BadFile(f"{path}: {layer} has magnitudes of columns, which cannot be split as the base's layers are")
        else:
            rows = value.reshape(-1, 1)
            split |= split_rows(f"{path}: {layer}", layer, rows, parts[0].spec.in_features)
    return split


def rank_and_alpha(adapter: Adapter) -> tuple[int, float]:
    """Return the rank of a LoRA or DoRA, and its alpha, the rank where there is none."""
    config: Any = adapter.config
    return config.rank, config.rank if config.alpha is None else config.alpha


def _axis(path: Path, shape: tuple[int, ...], value: Tensor, layer: str) -> str:
    """Return whose lengths magnitudes are."""
    outputs, inputs = shape[:2]
    if value.shape[:1] == (outputs,) and value.numel() == outputs:
        return AXES[0]
    if value.shape[:2] == (1, inputs) and value.numel() == inputs:
        return AXES[1]
    raise BadFile(f"{path}: {layer} has magnitudes of shape {tuple(value.shape)}, which fit neither rows nor columns")

"""Style mixing: some layers of one adapter, all others of another (SVDiff, figure 10); and how alike adapters are."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor
from torch.nn import functional as F

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.algebra import add
from portraitist.adapters.provenance import Provenance, require_one_base
from portraitist.adapters.space import Space
from portraitist.errors import BadConfig


def style_mix(geometry: Adapter, appearance: Adapter, layers: Sequence[str], force: bool = False) -> Adapter:
    """Return an adapter with the geometry of one subject and the appearance of another.

    Adapters of one method and configuration stay what they are; others are joined as exact LoRA.

    Args:
        geometry: Gives the layers that match.
        appearance: Gives all others.
        layers: Patterns on ``component.module.path`` of the layers that shape a subject.
        force: Mix adapters of bases with other weights too.

    Raises:
        BadConfig: If a pattern matches no layer of the geometry's adapter, nothing is left of the appearance's, or they
            have no common form.
        BaseMismatch: If they were made for different bases.
    """
    for pattern in layers:
        if not any(fnmatchcase(name, pattern) for name in geometry.layers):
            raise BadConfig(
                f"the adapter for geometry changes no layer {pattern}; it was trained on others, or is for another"
                " base; name the layers that shape the subject with --geometry"
            )
    shaping = {name for name in geometry.layers if any(fnmatchcase(name, pattern) for pattern in layers)}
    rest = {name for name in appearance.layers if not any(fnmatchcase(name, pattern) for pattern in layers)}
    if not rest:
        raise BadConfig("every layer of the adapter for appearance counts as geometry, so nothing of it would be left")
    parts = [_restrict(geometry, shaping), _restrict(appearance, rest)]
    if (geometry.method.name, geometry.config) != (appearance.method.name, appearance.config):
        return add(parts, force=force)
    known = [part.provenance for part in parts]
    require_one_base(known, force)
    first, second = parts
    space = Space(first.method, first.config, {**first.layers, **second.layers})
    return Adapter(space, {**first.values, **second.values}, Provenance.of_sum(known))


@torch.no_grad()
def layer_similarities(first: Adapter, second: Adapter) -> dict[str, float]:
    """Return the cosine similarity of two adapters' changes, layer by layer (SVDiff, figure 9a).

    Spectral shifts are compared as they are, other methods' changes as dense weights, whose factors may differ though
    they do the same. A layer that one of them leaves unchanged has similarity 0.

    Raises:
        BadConfig: If they share no layer.
        MissingBase: If changes mean nothing without the base and were not bound to it.
    """
    shared = [name for name in first.layers if name in second.layers]
    if not shared:
        raise BadConfig("these adapters change no layer in common, so there is nothing to compare")
    return {name: _cosine(_change(first, name), _change(second, name)) for name in shared}


def mean_similarities(adapters: Mapping[str, Adapter]) -> Tensor:
    """Return the similarities of all pairs, averaged over their layers, ``[n, n]``."""
    values = list(adapters.values())
    matrix = torch.eye(len(values))
    for row, first in enumerate(values):
        for column, second in enumerate(values[:row]):
            found = layer_similarities(first, second).values()
            matrix[row, column] = matrix[column, row] = sum(found) / len(found)
    return matrix


def _restrict(adapter: Adapter, names: set[str]) -> Adapter:
    """Return an adapter of some of the layers; its trigger is lost with a whole component, as with a text encoder."""
    values = {name: tensors for name, tensors in adapter.values.items() if name in names}
    part = Adapter(adapter.space.only(names), values, adapter.provenance.copy())
    if part.components() != adapter.components():
        part.provenance.facts.pop("trigger", None)
    return part


def _change(adapter: Adapter, name: str) -> Tensor:
    params = {key: value.detach() for key, value in adapter.values[name].items()}
    if adapter.method.name == "svdiff":
        return params["delta"].flatten().double()
    return adapter.layers[name].delta_weight(params).flatten().double()


def _cosine(first: Tensor, second: Tensor) -> float:
    if first.shape != second.shape:  # shifts of different ranks: the missing ones are zero
        longest = max(len(first), len(second))
        first, second = (F.pad(vector, (0, longest - len(vector))) for vector in (first, second))
    return float(F.cosine_similarity(first, second, dim=0, eps=1e-30).clamp(-1, 1))

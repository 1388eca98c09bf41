"""Algebra of adapters: scale, add, interpolate, truncate, and conversion to plain LoRA.

Sums are exact: within a method where it is closed under addition (shifts inside their ReLU, stacked LoRA and LiDB
factors, full differences), as LoRA otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.finding import find_module
from portraitist.adapters.layer import AdapterLayer, Binding, bind_layers
from portraitist.adapters.provenance import Provenance, require_one_base
from portraitist.adapters.space import Space
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import BadConfig

# Energy kept from which on a conversion counts as exact: beyond it stand the roundings of float32.
EXACT = 1 - 1e-6


@dataclass(frozen=True)
class Conversion:
    """What a conversion to LoRA kept.

    Attributes:
        adapter: The LoRA.
        energy: Kept part of the squared Frobenius norm of each layer's change.
        dropped: Layers whose change has no LoRA form (norm scales, embeddings, biases).
    """

    adapter: Adapter
    energy: Mapping[str, float]
    dropped: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Say whether nothing was lost."""
        return not self.dropped and all(kept > EXACT for kept in self.energy.values())


def bind(adapter: Adapter, components: Mapping[str, nn.Module]) -> Adapter:
    """Give an adapter's layers what depends on the frozen weights, without attaching it; returns the adapter.

    Raises:
        BadConfig: If the components have no such layers.
    """
    bind_layers([Binding.to(layer, find_module(components, layer.spec)) for layer in adapter.layers.values()])
    return adapter


@torch.no_grad()
def to_lora(adapter: Adapter, rank: int | None = None) -> Conversion:
    """Convert an adapter to LoRA of one rank on all its layers, as small as is exact, or the given rank.

    Args:
        adapter: Any adapter of linear and convolution layers; spectral shifts must be bound to their base.
        rank: Maximum rank of the LoRA; None takes the rank that is exact for every layer.
    """
    factors, dropped, energy = {}, [], {}
    for name, layer in adapter.layers.items():
        if not _has_lora_form(layer):
            dropped.append(name)
            continue
        params = {key: value.detach() for key, value in adapter.values[name].items()}
        factors[name] = layer.low_rank(params, rank)
        energy[name] = factors[name].energy
        if "bias" in params:
            dropped.append(f"{name} (bias)")
    if not factors:
        raise BadConfig("none of the adapter's layers has a LoRA form")
    rank = max(1, *(low.up.shape[1] for low in factors.values()))
    space = Space.of("lora", {"rank": rank}, [adapter.space.specs[name] for name in factors])
    values: dict[str, dict[str, Tensor]] = {}
    for name, low in factors.items():
        shapes = space.shapes[name]
        missing = rank - low.up.shape[1]
        up, down = nn.functional.pad(low.up, (0, missing)), nn.functional.pad(low.down, (0, 0, 0, missing))
        values[name] = {"down": down.reshape(shapes["down"]).clone(), "up": up.reshape(shapes["up"]).clone()}
    provenance = adapter.provenance.copy(converted_from=adapter.method.name)
    return Conversion(Adapter(space, values, provenance), energy, tuple(dropped))


@torch.no_grad()
def scale(adapter: Adapter, strength: float) -> Adapter:
    """Return the adapter at another strength, as attaching it with that scale would have it."""
    values = {name: adapter.layers[name].combined([params], [strength]) for name, params in adapter.values.items()}
    return Adapter(adapter.space, values, adapter.provenance.copy())


@torch.no_grad()
def add(
    adapters: Sequence[Adapter],
    weights: Sequence[float] | None = None,
    force: bool = False,
    names: Sequence[str] | None = None,
) -> Adapter:
    """Return the weighted sum of adapters.

    Args:
        adapters: One or more, of any methods.
        weights: A weight for each; 1 when not given.
        force: Add adapters of bases with other weights too.
        names: What messages call them; their places when not given.

    Raises:
        BadConfig: If they have layers without a common form.
        BaseMismatch: If they were made for different bases.
    """
    names = [f"adapter {number}" for number in range(1, len(adapters) + 1)] if names is None else names
    weights = [1.0] * len(adapters) if weights is None else list(weights)
    if len(weights) != len(adapters) or not adapters:
        raise BadConfig(f"{len(adapters)} adapters need as many weights, not {len(weights)}")
    require_one_base([adapter.provenance for adapter in adapters], force)
    scaled = [scale(adapter, weight) for adapter, weight in zip(adapters, weights, strict=True)]
    parts = scaled if _closed(scaled) else [_exact_lora(*part) for part in zip(scaled, names, strict=True)]
    method = parts[0].method
    assert method.sum_config is not None
    config = method.sum_config([part.config for part in parts])
    assert config is not None
    space = Space.of(method, config, _united(parts))
    values: dict[str, dict[str, Tensor]] = {}
    for name, layer in space.layers.items():
        # A part without this layer adds nothing: zeros of its own shapes keep the ranks of a stack equal everywhere.
        present = [
            part.values[name]
            if name in part.values
            else {k: torch.zeros(s) for k, s in method.layer(layer.spec, part.config).shapes().items()}
            for part in parts
        ]
        values[name] = layer.combined(present, [1.0] * len(present))
    return Adapter(space, values, Provenance.of_sum([adapter.provenance for adapter in adapters]))


def interpolate(first: Adapter, second: Adapter, alpha: float) -> Adapter:
    """Return ``alpha * first + (1 - alpha) * second`` (SVDiff's eq. 5 for spectral shifts)."""
    return add([first, second], [alpha, 1 - alpha])


@torch.no_grad()
def keep_largest(adapter: Adapter, rank: int) -> Adapter:
    """Return a spectral-shift adapter with only the `rank` largest shifts of each matrix, by absolute value."""
    if adapter.method.name != "svdiff":
        raise BadConfig(f"only spectral shifts are cut by size; convert {adapter.method.name} with to_lora(rank)")
    values: dict[str, dict[str, Tensor]] = {}
    for name, params in adapter.values.items():
        delta = params["delta"].detach()
        if adapter.layers[name].spec.kind is not Kind.NORM:
            kept = delta.abs().argsort(descending=True)[:rank]
            delta = torch.zeros_like(delta).index_copy(0, kept, delta[kept])
        values[name] = {"delta": delta}
    return Adapter(adapter.space, values, adapter.provenance.copy())


def _united(parts: Sequence[Adapter]) -> list[LayerSpec]:
    """Return the layers that any of some adapters changes.

    Raises:
        BadConfig: If two mean layers of different shapes by one name.
    """
    specs: dict[str, LayerSpec] = {}
    for part in parts:
        for name, spec in part.space.specs.items():
            known = specs.setdefault(name, spec)
            if known.shape != spec.shape:
                raise BadConfig(f"{name} has a weight of shape {known.shape} in one adapter, {spec.shape} in another")
    return list(specs.values())


def _closed(adapters: Sequence[Adapter]) -> bool:
    method = adapters[0].method
    if any(adapter.method.name != method.name for adapter in adapters) or method.sum_config is None:
        return False
    return method.sum_config([adapter.config for adapter in adapters]) is not None


def _exact_lora(adapter: Adapter, name: str) -> Adapter:
    """Convert a part of a sum that stays of no method.

    Raises:
        BadConfig: If something of it has no LoRA form, with what to do.
    """
    method = f"{name} ({adapter.method.name})"
    if not any(_has_lora_form(layer) for layer in adapter.layers.values()):
        raise BadConfig(
            f"{method} has no LoRA form, which this sum would need; use the adapters side by side, with --adapter for"
            " each, or merge them into the base, with --into-base"
        )
    conversion = to_lora(adapter)
    if conversion.dropped:
        raise BadConfig(
            f"{method} cannot be added exactly: this sum would be a LoRA, and {conversion.dropped[0]} has no LoRA form;"
            f" convert it first, which leaves that out: portraitist convert {name} --to portraitist --rank 64 -o FILE"
        )
    return conversion.adapter


def _has_lora_form(layer: AdapterLayer) -> bool:
    return layer.spec.kind in (Kind.LINEAR, Kind.CONV) and layer.spec.groups == 1

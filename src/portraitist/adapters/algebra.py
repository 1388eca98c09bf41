"""Algebra of adapters: scale, add, interpolate, truncate, and conversion to plain LoRA.

Sums are exact: within a method where it is closed under addition (shifts inside their ReLU, stacked LoRA and LiDB
factors, full differences), as LoRA otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from portraitist.adapters.adapter import Adapter, find_module
from portraitist.adapters.layer import AdapterLayer, Kind
from portraitist.adapters.registry import get_method
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
    for layer in adapter.layers.values():
        module = find_module(components, layer.spec)
        layer.bind(module.weight, getattr(module, "bias", None))
    return adapter


@torch.no_grad()
def to_lora(adapter: Adapter, rank: int | None = None) -> Conversion:
    """Convert an adapter to LoRA of one rank on all its layers, the smallest that loses nothing beyond the given one.

    Args:
        adapter: Any adapter of linear and convolution layers; spectral shifts must be bound to their base.
        rank: Highest rank of the LoRA; None takes what is exact for every layer.
    """
    factors, dropped, energy = {}, [], {}
    for name, layer in adapter.layers.items():
        if not _has_lora_form(layer):
            dropped.append(name)
            continue
        params = {key: value.detach() for key, value in adapter.parameters[name].items()}
        factors[name] = layer.low_rank(params, rank)
        energy[name] = factors[name].energy
        if layer.delta_bias(params) is not None:
            dropped.append(f"{name} (bias)")
    if not factors:
        raise BadConfig("none of the adapter's layers has a LoRA form")
    rank = max(1, *(low.up.shape[1] for low in factors.values()))
    method = get_method("lora")
    config = method.parse_config({"rank": rank})
    layers = {name: method.layer(adapter.layers[name].spec, config) for name in factors}
    parameters: dict[str, dict[str, Tensor]] = {}
    for name, low in factors.items():
        shapes = layers[name].shapes()
        missing = rank - low.up.shape[1]
        up, down = nn.functional.pad(low.up, (0, missing)), nn.functional.pad(low.down, (0, 0, 0, missing))
        parameters[name] = {"down": down.reshape(shapes["down"]).clone(), "up": up.reshape(shapes["up"]).clone()}
    converted = Adapter(method, config, layers, parameters, {**adapter.metadata, "converted_from": adapter.method.name})
    return Conversion(converted, energy, tuple(dropped))


@torch.no_grad()
def scale(adapter: Adapter, strength: float) -> Adapter:
    """Return the adapter at another strength, as attaching it with that scale would have it."""
    parameters = {name: adapter.layers[name].scaled(params, strength) for name, params in adapter.parameters.items()}
    return Adapter(adapter.method, adapter.config, adapter.layers, parameters, dict(adapter.metadata))


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
        BadConfig: If they were made for different bases, or have layers without a common form.
    """
    names = [f"adapter {number}" for number in range(1, len(adapters) + 1)] if names is None else names
    weights = [1.0] * len(adapters) if weights is None else list(weights)
    if len(weights) != len(adapters) or not adapters:
        raise BadConfig(f"{len(adapters)} adapters need as many weights, not {len(weights)}")
    prints = {str(base["fingerprint"]) for adapter in adapters if (base := _base_of(adapter)) is not None}
    if len(prints) > 1 and not force:
        raise BadConfig(f"these adapters were made for different bases ({', '.join(sorted(prints))})")
    scaled = [scale(adapter, weight) for adapter, weight in zip(adapters, weights, strict=True)]
    parts = scaled if _closed(scaled) else [_exact_lora(*part) for part in zip(scaled, names, strict=True)]
    method = parts[0].method
    assert method.sum_config is not None
    adapted = reduce(lambda known, part: known | dict.fromkeys(part.layers), parts, dict[str, None]())
    config = method.sum_config([part.config for part in parts])
    assert config is not None
    layers: dict[str, AdapterLayer] = {}
    parameters: dict[str, dict[str, Tensor]] = {}
    for name in adapted:
        spec, *others = (part.layers[name].spec for part in parts if name in part.layers)
        if unlike := next((other for other in others if other.shape != spec.shape), None):
            raise BadConfig(f"{name} has a weight of shape {spec.shape} in one adapter, {unlike.shape} in another")
        layers[name] = method.layer(spec, config)
        # A part without this layer adds nothing: zeros of its own shapes keep the ranks of a stack equal everywhere.
        present = [
            part.parameters[name]
            if name in part.parameters
            else {k: torch.zeros(s) for k, s in method.layer(spec, part.config).shapes().items()}
            for part in parts
        ]
        parameters[name] = layers[name].added(present)
    # Files of others do not say which base they are for.
    knowing = next((adapter for adapter in adapters if adapter.metadata.get("base")), adapters[0])
    metadata = {key: value for key, value in knowing.metadata.items() if key in ("base", "portraitist_version")}
    triggers = dict.fromkeys(str(adapter.metadata["trigger"]) for adapter in adapters if "trigger" in adapter.metadata)
    if triggers:
        metadata["trigger"] = ", ".join(triggers)
    return Adapter(method, config, layers, parameters, metadata)


def interpolate(first: Adapter, second: Adapter, alpha: float) -> Adapter:
    """Return ``alpha * first + (1 - alpha) * second`` (SVDiff's eq. 5 for spectral shifts)."""
    return add([first, second], [alpha, 1 - alpha])


@torch.no_grad()
def keep_largest(adapter: Adapter, rank: int) -> Adapter:
    """Return a spectral-shift adapter with only the `rank` largest shifts of each matrix, by absolute value."""
    if adapter.method.name != "svdiff":
        raise BadConfig(f"only spectral shifts are cut by size; convert {adapter.method.name} with to_lora(rank)")
    parameters: dict[str, dict[str, Tensor]] = {}
    for name, params in adapter.parameters.items():
        delta = params["delta"].detach()
        if adapter.layers[name].spec.kind is not Kind.NORM:
            kept = delta.abs().argsort(descending=True)[:rank]
            delta = torch.zeros_like(delta).index_copy(0, kept, delta[kept])
        parameters[name] = {"delta": delta}
    return Adapter(adapter.method, adapter.config, adapter.layers, parameters, dict(adapter.metadata))


def _base_of(adapter: Adapter) -> Mapping[str, Any] | None:
    """Return what an adapter knows about its base, if that is enough to tell it from others."""
    base = adapter.metadata.get("base")
    return base if isinstance(base, Mapping) and base.get("fingerprint") is not None else None


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

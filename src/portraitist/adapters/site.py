"""One frozen module with the adapters on it: how their changes are computed together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from portraitist.adapters.layer import AdapterLayer, Kind, LayerSpec, Parameters, apply_weight, group_samples
from portraitist.errors import BadConfig

# Says of a layer and its output how much of an adapter's change counts: a share of it all, or one for every place.
Where = Callable[[LayerSpec, Tensor], Tensor | float]


@dataclass(eq=False)
class Part:
    """One adapter's part in one layer."""

    adapter: str
    layer: AdapterLayer
    params: Parameters
    scale: float
    enabled: bool = True
    where: Where | None = None
    samples: Tensor | None = None

    def chosen(self, x: Tensor) -> "Part":
        """Return the part with the parameters that the samples of an input ask for."""
        if self.samples is None:
            return self
        times, left = divmod(x.shape[0], len(self.samples))
        if left:
            raise ValueError(f"adapters were named for {len(self.samples)} samples, but the batch has {x.shape[0]}")
        samples = self.samples.repeat(times)
        params = {name: value[samples.clamp(min=0)] for name, value in self.params.items()}
        nothing = self.layer.scaled(params, 0.0)
        for name, value in params.items():
            without = (samples < 0).view(-1, *(1,) * (value.ndim - 1))
            params[name] = torch.where(without, nothing[name], value)
        return replace(self, params=params, samples=None)

    def scaled_params(self, dtype: torch.dtype | None = None) -> Parameters:
        """Return the parameters at the part's scale, in a dtype."""
        params = self.params if dtype is None else {name: value.to(dtype) for name, value in self.params.items()}
        return params if self.scale == 1.0 else self.layer.scaled(params, self.scale)


class Site:
    """A frozen module and the adapters on it; owns the module's overridden ``forward``."""

    def __init__(self, spec: LayerSpec, module: Any) -> None:
        self.spec = spec
        self.module = module
        self.was_overridden = "forward" in vars(module)
        self.frozen_forward = module.forward
        self.active: list[Part] = []
        module.forward = self.forward

    def remove(self) -> None:
        """Give the module its own forward pass back."""
        if self.was_overridden:  # by somebody else's hook
            self.module.forward = self.frozen_forward
        else:
            del self.module.forward

    def present(self, x: Tensor | None = None) -> list[Part]:
        """Return the parts that act (on an input, its samples' own), those that join as one."""
        acting = [part for part in self.active if part.enabled and part.scale != 0.0]
        return _joined(acting if x is None else [part.chosen(x) for part in acting])

    def weight_changes(self) -> dict[str, list[Tensor]]:
        """Return what the parts add to the weight and bias, all of it computed before anything is added.

        Raises:
            BadConfig: If a part has no single change.
        """
        changes: dict[str, list[Tensor]] = {"weight": [], "bias": []}
        for part in self.present():
            if part.where is not None:
                raise BadConfig("an adapter that acts at some places only cannot be merged into the weights")
            params = part.scaled_params()
            changes["weight"].append(part.layer.delta_weight(params))
            if changes["weight"][-1].ndim != self.module.weight.ndim:
                raise BadConfig(f"{self.spec.name}: a bank of adapters cannot be merged; choose one of them")
            bias = part.layer.delta_bias(params)
            if bias is not None:
                changes["bias"].append(bias)
        return changes

    def forward(self, input: Tensor) -> Tensor:
        """Compute the module with all parts that act on it; the argument has the name that torch's layers give it."""
        present = self.present(input)
        everywhere = [part for part in present if part.where is None]
        y = self._forward(input, everywhere)
        total = y
        for part in present:
            share = part.where(self.spec, y) if part.where is not None else 0.0
            if isinstance(share, Tensor) or share != 0.0:
                total = total + share * (self._forward(input, _joined([*everywhere, replace(part, where=None)])) - y)
        return total

    def _forward(self, x: Tensor, present: list[Part]) -> Tensor:
        """Compute the layer with some parts acting everywhere."""
        if len(present) == 1:
            part = present[0]
            weight, bias = self.module.weight, getattr(self.module, "bias", None)
            y = part.layer.changed_forward(x, weight, bias, part.scaled_params())
            if y is not None:
                return y
        rebuilt = [part for part in present if part.layer.rebuilds_weight(x, part.params)]
        at_input = [part for part in present if part.layer.changes_input and part not in rebuilt]
        at_output = [part for part in present if part not in rebuilt and part not in at_input]
        changed = x
        for part in at_input:
            changed = changed + part.layer.delta_input(x, part.scaled_params(x.dtype)).to(x.dtype)
        y = self._rebuilt_forward(changed, rebuilt) if rebuilt else self.frozen_forward(changed)
        frozen = y
        if (rebuilt or at_input) and any(part.layer.reads_output for part in at_output):
            frozen = self.frozen_forward(x)
        for part in at_output:
            y = y + part.layer.delta(x.to(y.dtype) if x.is_floating_point() else x, frozen, part.scaled_params(y.dtype))
        return y

    def _rebuilt_forward(self, x: Tensor, parts: list[Part]) -> Tensor:
        """Compute the layer once with the changed weight."""
        weight, bias = self.module.weight, getattr(self.module, "bias", None)
        for part in parts:
            params = part.scaled_params()
            weight = weight + part.layer.delta_weight(params).to(weight.dtype)
            change = part.layer.delta_bias(params)
            if change is not None and bias is not None:
                bias = bias + change.to(bias.dtype)
        return _forward_with(self.module, self.spec, x, weight, bias)


def _joined(parts: Sequence[Part]) -> list[Part]:
    """Sum the parameters of parts that join and act at the same places."""
    joined: list[Part] = []
    for part in parts:
        for index, other in enumerate(joined):
            layer = other.layer.joined(part.layer) if part.where is other.where else None
            if layer is not None:
                total = layer.added([other.scaled_params(), part.scaled_params()])
                joined[index] = replace(other, layer=layer, params=total, scale=1.0)
                break
        else:
            joined.append(part)
    return joined


def _forward_with(module: Any, spec: LayerSpec, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Run a module with another weight and bias, each perhaps with a bank axis."""
    if spec.kind is not Kind.NORM:
        return apply_weight(spec, x, weight, bias)
    if isinstance(module, nn.GroupNorm):
        if weight.ndim == 1:
            return F.group_norm(x, module.num_groups, weight, bias, module.eps)
        y, trailing = F.group_norm(x, module.num_groups, eps=module.eps), (1,) * (x.ndim - 2)
    else:
        if weight.ndim == 1:
            return F.layer_norm(x, module.normalized_shape, weight, bias, module.eps)
        y, trailing = F.layer_norm(x, module.normalized_shape, eps=module.eps), ()
    count = weight.shape[0]
    middle = () if trailing else (1,) * (x.ndim - 2)
    grouped, weight = group_samples(y, count), weight.reshape(count, 1, *middle, -1, *trailing)
    if bias is None:
        return (grouped * weight).flatten(0, 1)
    bias = bias.reshape(bias.shape[0] if bias.ndim == 2 else 1, 1, *middle, -1, *trailing)
    return torch.addcmul(bias, grouped, weight).flatten(0, 1)

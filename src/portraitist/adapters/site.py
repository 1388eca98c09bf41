"""One frozen module with the adapters on it: how their changes are computed together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from portraitist.adapters.layer import (
    AdapterLayer,
    Parameters,
    Way,
    apply_weight,
    bank_size,
    group_samples,
    is_bank,
    scaled,
)
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import BadConfig

# Says of a layer and its output how much of an adapter's change counts: a share of it all, or one for every place.
Where = Callable[[LayerSpec, Tensor], Tensor | float]


class Served:
    """Parameters of a bank in the order of a batch's samples, gathered once for all passes.

    Args:
        layer: The formulas.
        params: The bank's parameters.
        numbers: An adapter of the bank for each sample, ``[n]``.
        scales: The strength of each, ``[n]``.
    """

    def __init__(self, layer: AdapterLayer, params: Parameters, numbers: Tensor, scales: Tensor) -> None:
        gathered = {name: value[numbers] for name, value in params.items()}
        self._once = layer.combined([gathered], [scales])
        self._count = len(numbers)
        self._repeated: dict[int, Parameters] = {1: self._once}

    def on(self, x: Tensor) -> Parameters:
        """Return the parameters for an input whose samples are those, or a multiple as many in the same order again."""
        times, left = divmod(x.shape[0], self._count)
        if left:
            raise ValueError(f"adapters were named for {self._count} samples, but the batch has {x.shape[0]}")
        if times in self._repeated:
            return self._repeated[times]
        repeated = {name: value.repeat(times, *(1,) * (value.ndim - 1)) for name, value in self._once.items()}
        if not any(value.requires_grad for value in self._once.values()):  # else it is part of one pass's graph
            self._repeated[times] = repeated
        return repeated


@dataclass(eq=False)
class Part:
    """One adapter's part in one layer.

    Attributes:
        adapter: The adapter's name.
        layer: The formulas.
        params: Its parameters, the adapter's own or fed ones.
        scale: Its strength.
        enabled: Whether it acts.
        where: Where it acts; everywhere if None.
        served: Of a bank, the parameters of the samples that were named; None for equal groups in the bank's order.
    """

    adapter: str
    layer: AdapterLayer
    params: Parameters
    scale: float
    enabled: bool = True
    where: Where | None = None
    served: Served | None = field(default=None, repr=False)

    def on(self, x: Tensor) -> "Part":
        """Return the part with the parameters that the samples of an input ask for."""
        return self if self.served is None else replace(self, params=self.served.on(x), scale=1.0, served=None)

    def scaled_params(self, dtype: torch.dtype | None = None) -> Parameters:
        """Return the parameters at the part's scale, in a dtype."""
        params = self.params if dtype is None else {name: value.to(dtype) for name, value in self.params.items()}
        return scaled(self.layer, params, self.scale)


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
        return _joined(acting if x is None else [part.on(x) for part in acting])

    def weight_changes(self) -> dict[str, list[Tensor]]:
        """Return what the parts add to the weight and bias, all of it computed before anything is added.

        Raises:
            BadConfig: If a part has no single change.
        """
        changes: dict[str, list[Tensor]] = {"weight": [], "bias": []}
        for part in self.present():
            if part.where is not None:
                raise BadConfig("an adapter that acts in some places only cannot be merged into the weights")
            if bank_size(part.layer, part.params) is not None:
                raise BadConfig(f"{self.spec.name}: a bank of adapters cannot be merged; choose one of them")
            params = part.scaled_params()
            changes["weight"].append(part.layer.delta_weight(params))
            if "bias" in params:
                changes["bias"].append(params["bias"])
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
                total = total + share * self._change(input, y, part, everywhere)
        return total

    def _change(self, x: Tensor, y: Tensor, part: Part, others: list[Part]) -> Tensor:
        """Return what a part adds to the output `y` that the others have: by itself where it changes the output."""
        way = part.layer.way(x, part.params, False)
        if way is not Way.OUTPUT or any(other.layer.joined(part.layer) is not None for other in others):
            return self._forward(x, _joined([*others, replace(part, where=None)])) - y
        converted = x.to(y.dtype) if x.is_floating_point() else x
        return part.layer.act(way, converted, y, part.scaled_params(y.dtype))

    def _forward(self, x: Tensor, present: list[Part]) -> Tensor:
        """Compute the layer with some parts acting everywhere."""
        ways = [part.layer.way(x, part.params, len(present) == 1) for part in present]
        if ways == [Way.WHOLE]:
            return present[0].layer.act(Way.WHOLE, x, x, present[0].scaled_params())
        changed = x
        for part, way in zip(present, ways, strict=True):
            if way is Way.INPUT:
                changed = changed + part.layer.act(way, x, x, part.scaled_params(x.dtype)).to(x.dtype)
        rebuilt = [part for part, way in zip(present, ways, strict=True) if way is Way.WEIGHT]
        y = self._rebuilt_forward(changed, rebuilt) if rebuilt else self.frozen_forward(changed)
        frozen = y
        if (rebuilt or changed is not x) and Way.FROZEN_OUTPUT in ways:
            frozen = self.frozen_forward(x)
        for part, way in zip(present, ways, strict=True):
            if way is Way.OUTPUT or way is Way.FROZEN_OUTPUT:
                converted = x.to(y.dtype) if x.is_floating_point() else x
                y = y + part.layer.act(way, converted, frozen, part.scaled_params(y.dtype))
        return y

    def _rebuilt_forward(self, x: Tensor, parts: list[Part]) -> Tensor:
        """Compute the layer once with the changed weight."""
        weight, bias = self.module.weight, getattr(self.module, "bias", None)
        for part in parts:
            params = part.scaled_params()
            weight = weight + part.layer.delta_weight(params).to(weight.dtype)
            if "bias" in params and bias is not None:
                bias = bias + params["bias"].to(bias.dtype)
        return _forward_with(self.module, self.spec, x, weight, bias)


def _joined(parts: Sequence[Part]) -> list[Part]:
    """Sum the parameters of parts that join and act at the same places."""
    joined: list[Part] = []
    for part in parts:
        for index, other in enumerate(joined):
            layer = other.layer.joined(part.layer) if part.where is other.where else None
            if layer is not None:
                total = layer.combined([other.params, part.params], [other.scale, part.scale])
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
        if not is_bank(spec, weight):
            return F.group_norm(x, module.num_groups, weight, bias, module.eps)
        y, trailing = F.group_norm(x, module.num_groups, eps=module.eps), (1,) * (x.ndim - 2)
    else:
        if not is_bank(spec, weight):
            return F.layer_norm(x, module.normalized_shape, weight, bias, module.eps)
        y, trailing = F.layer_norm(x, module.normalized_shape, eps=module.eps), ()
    count = weight.shape[0]
    middle = () if trailing else (1,) * (x.ndim - 2)
    grouped, weight = group_samples(y, count), weight.reshape(count, 1, *middle, -1, *trailing)
    if bias is None:
        return (grouped * weight).flatten(0, 1)
    bias = bias.reshape(bias.shape[0] if bias.ndim == 2 else 1, 1, *middle, -1, *trailing)
    return torch.addcmul(bias, grouped, weight).flatten(0, 1)

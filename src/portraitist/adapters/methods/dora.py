"""DoRA: a weight's rows changed in direction by a LoRA and in length by numbers of their own (arXiv 2402.09353, eq. 5).

``W' = m (W + dW) / |W + dW|`` with ``dW = alpha / rank * up @ down`` and the lengths of the rows (or columns). Stored
are ``m - |W|``, which begin at zero like every other parameter here: an adapter means something only together with the
weights it was trained on, as spectral shifts do. Gradients pass through the lengths, which the paper holds fixed to
save memory (section 4.3). At another strength the whole change of the weight is multiplied.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from portraitist.adapters.layer import AdapterLayer, Parameters, Scale, Way, bank_size, require_plain, times
from portraitist.adapters.layouts.dora import AXES, DoraConfig
from portraitist.adapters.layouts.dora import DORA as DORA_LAYOUT
from portraitist.adapters.method import Method
from portraitist.adapters.methods.lora import LORA
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import MissingBase

_STRENGTH = "strength"


class DoraLayer(AdapterLayer):
    """A change of direction and length: a LoRA's ``down`` and ``up``, and ``magnitude [out]`` (or ``[in]``)."""

    def __init__(self, spec: LayerSpec, config: DoraConfig) -> None:
        super().__init__(spec)
        self.config = config
        self._direction = LORA.layer(spec, config.direction)
        self._weight: Tensor | None = None
        self._bias: Tensor | None = None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the factors and of the magnitudes."""
        return DORA_LAYOUT.layer_shapes(self.spec, self.config)

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return a LoRA's initial values, and zeros."""
        return {**self._direction.initial(generator), "magnitude": torch.zeros(self.shapes()["magnitude"])}

    def bind(self, weight: Tensor, bias: Tensor | None) -> None:
        """Keep the weight, whose direction is changed."""
        require_plain(weight, f"dora on {self.spec.name}")
        self._weight, self._bias = weight, bias

    def combined(self, parts: Sequence[Parameters], scales: Sequence[Scale]) -> dict[str, Tensor]:
        """Remember the strength of one adapter, which multiplies its whole change; a sum of several is no DoRA."""
        (params,), (scale,) = parts, scales
        before = params.get(_STRENGTH, torch.ones((), device=params["magnitude"].device))
        return {**params, _STRENGTH: before * (scale.to(before) if isinstance(scale, Tensor) else scale)}

    def way(self, x: Tensor, params: Parameters, alone: bool) -> Way:
        """Change the output, whose channels grow as the rows do; where columns do, the weight."""
        return Way.FROZEN_OUTPUT if self.config.axis == AXES[0] else Way.WEIGHT

    def act(self, way: Way, x: Tensor, y: Tensor, params: Parameters) -> Tensor:
        """Return ``(g - 1) W x + g dW x`` with the gain ``g = m / |W + dW|`` of each row; ``W + dW`` is never built."""
        gain, bias = self._gain(params), self._bias
        still = y if bias is None else y - self._along(bias.to(y.dtype), y)
        change = self._direction.act(Way.OUTPUT, x, y, params)
        more, whole = (self._along(each.to(y.dtype), y) for each in (gain - 1, gain))
        delta = more * still + whole * change
        if _STRENGTH not in params:
            return delta
        strength = params[_STRENGTH].to(y.dtype)
        return delta * (self._along(strength[:, None].expand_as(gain), y) if strength.ndim else strength)

    def _gain(self, params: Parameters) -> Tensor:
        """Return the growth of each row, ``[out]`` or ``[N, out]``, in float32 at least.

        ``|W + u d|^2 = |W|^2 + 2 u (W d^T) + u (d d^T) u^T``, row by row.
        """
        precision = torch.promote_types(params["up"].dtype, torch.float32)
        up, down = params["up"].to(precision), params["down"].to(precision)
        first = 1 if bank_size(self, params) is None else 2
        up, down = up.flatten(first) * self.config.direction.scaling, down.flatten(first)
        weight = self.frozen_weight.flatten(1).to(precision)
        crossed = (up * (weight @ down.transpose(-1, -2))).sum(-1)
        squared = (up @ (down @ down.transpose(-1, -2)) * up).sum(-1)
        own = lengths(weight, replace(self.spec, shape=tuple(weight.shape)), AXES[0]).flatten()
        length = (own.square() + 2 * crossed + squared).clamp_min(torch.finfo(precision).tiny).sqrt()
        return (own + params["magnitude"].to(precision)) / length

    def _along(self, values: Tensor, y: Tensor) -> Tensor:
        """Return a number for each output channel, ``[out]`` or ``[N, out]``, in a shape that broadcasts to `y`."""
        if values.ndim == 2:
            values = values.repeat_interleave(y.shape[0] // values.shape[0], 0)
        behind = (1,) * (y.ndim - 2) if self.spec.kind is Kind.CONV else ()
        between = (1,) * (y.ndim - 2) if self.spec.kind is Kind.LINEAR and values.ndim == 2 else ()
        return values.reshape(*values.shape[:-1], *between, values.shape[-1], *behind)

    def delta_weight(self, params: Parameters) -> Tensor:
        """Return ``m V / |V| - W`` for ``V = W + dW``."""
        change = self._direction.delta_weight(params)
        weight = self.frozen_weight.to(change)
        moved = weight + change
        own, length = (lengths(matrix, self.spec, self.config.axis) for matrix in (weight, moved))
        magnitude = params["magnitude"].unflatten(-1, own.shape) + own
        delta = moved * (magnitude / length) - weight
        return times(delta, params[_STRENGTH]) if _STRENGTH in params else delta

    def magnitudes(self, params: Parameters) -> Tensor:
        """Return the lengths themselves, ``m``, in a shape that broadcasts to the weight; no bank axis."""
        own = lengths(self.frozen_weight.to(params["magnitude"]), self.spec, self.config.axis)
        return params["magnitude"].reshape(own.shape) + own

    @property
    def frozen_weight(self) -> Tensor:
        """Return the weight it was bound to.

        Raises:
            MissingBase: If it was not bound to one.
        """
        if self._weight is None:
            raise MissingBase(f"{self.spec.name}: DoRA needs the weights of its base")
        return self._weight


def lengths(weight: Tensor, spec: LayerSpec, axis: str) -> Tensor:
    """Return the lengths of a weight's rows or columns, above zero, in a shape that broadcasts to it.

    Args:
        weight: In the layer's shape, perhaps with a bank axis.
        spec: The layer.
        axis: One of `AXES`.
    """
    kept = AXES.index(axis) - len(spec.shape)
    others = [number for number in range(-len(spec.shape), 0) if number != kept]
    return torch.linalg.vector_norm(weight, dim=others, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)


DORA = Method(
    layout=DORA_LAYOUT,
    summary="a LoRA of the weights' directions, and their lengths (DoRA)",
    paper="arXiv 2402.09353",
    layers={Kind.LINEAR: DoraLayer, Kind.CONV: DoraLayer},
    full_rank=True,
)

"""Adapters in a learned subspace: K rank-one changes a layer that all adapters share, a coefficient each of their own.

``dW = up diag(c) down`` with ``up [out, K]`` and ``down [K, in]`` learned together with the hypernetwork that predicts
``c``: nothing in it can be said in two ways, as the factors of a LoRA can. An adapter of this space is a LoRA of rank K
(HyperLoRA's linear combination of learned bases; our arrangement of it).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from portraitist.adapters.layer import (
    AdapterLayer,
    LowRank,
    Parameters,
    Way,
    bank_size,
    group_samples,
    recompress,
)
from portraitist.adapters.layouts.layout import Layout, MethodConfig, Shapes
from portraitist.adapters.method import Method
from portraitist.adapters.space import Space
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import BadConfig


@dataclass(frozen=True)
class SubspaceConfig(MethodConfig):
    """Configuration of the learned subspace.

    Attributes:
        changes: Rank-one changes of a layer, K.
    """

    changes: int = 32

    def __str__(self) -> str:
        """Say in a few words what there is."""
        return f"{self.changes} a layer"

    def __post_init__(self) -> None:
        if self.changes < 1:
            raise BadConfig(f"subspace: changes must be at least 1, not {self.changes}")


def coefficient_shapes(spec: LayerSpec, config: SubspaceConfig) -> Shapes:
    """Return the shape of a layer's coefficients: one number a change."""
    return {"c": (config.changes,)}


class SubspaceLinear(AdapterLayer):
    """Coefficients ``c [K]`` of a linear layer's shared changes, which `share` hands over."""

    def __init__(self, spec: LayerSpec, config: SubspaceConfig) -> None:
        super().__init__(spec)
        self.config = config
        self._shared: tuple[Tensor, Tensor] | None = None

    def shapes(self) -> Shapes:
        """Return one number a change."""
        return coefficient_shapes(self.spec, self.config)

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return zeros."""
        return {"c": torch.zeros(self.config.changes)}

    def share(self, up: Tensor, down: Tensor) -> None:
        """Take the changes that all adapters share: ``up [out, K]`` and ``down [K, in]``."""
        self._shared = up, down

    @property
    def shared(self) -> tuple[Tensor, Tensor]:
        """Return the shared changes."""
        if self._shared is None:
            raise BadConfig(f"{self.spec.name}: the coefficients belong to changes that were not handed over")
        return self._shared

    def act(self, way: Way, x: Tensor, y: Tensor, params: Parameters) -> Tensor:
        """Return the change: shared maps, with the coefficients between them."""
        up, down = self.shared
        hidden, bank = F.linear(x, down.to(x.dtype)), bank_size(self, params)
        if bank is None:
            return F.linear(hidden * params["c"], up.to(x.dtype))
        grouped = group_samples(hidden, bank)
        coefficients = params["c"].view(bank, *(1,) * (grouped.ndim - 2), -1)
        return F.linear((grouped * coefficients).flatten(0, 1), up.to(x.dtype))

    def low_rank(self, params: Parameters, rank: int | None) -> LowRank:
        """Return the equal LoRA of rank K, or the best one of a smaller rank."""
        up, down = (tensor.detach().to(params["c"]) for tensor in self.shared)
        scaled = up * params["c"]
        if rank is None or rank >= self.config.changes:
            return LowRank(scaled, down, 1.0)
        return recompress(scaled, down, rank)

    def delta_weight(self, params: Parameters) -> Tensor:
        """Return ``up diag(c) down``."""
        up, down = self.shared
        return (up * params["c"].unsqueeze(-2)) @ down


SUBSPACE = Method(
    layout=Layout("subspace", SubspaceConfig, {Kind.LINEAR: coefficient_shapes}),
    summary="coefficients of rank-one changes that a hypernetwork learned",
    paper="arXiv 2307.06949",
    layers={Kind.LINEAR: SubspaceLinear},
)


class SharedChanges(nn.Module):
    """The shared changes of all layers: trained with the network that predicts their coefficients.

    Directions are random and of length one at the start, so that every coefficient has a gradient from the first step.
    """

    def __init__(self, specs: Sequence[LayerSpec], config: Mapping[str, Any]) -> None:
        super().__init__()
        self.space = Space.of(SUBSPACE, config, specs)
        settings = self.space.config
        assert isinstance(settings, SubspaceConfig)
        changes = settings.changes
        self.ups = nn.ParameterList(torch.randn(s.out_features, changes) * s.out_features**-0.5 for s in specs)
        self.downs = nn.ParameterList(torch.randn(changes, s.in_features) * s.in_features**-0.5 for s in specs)
        for layer, up, down in zip(self.space.layers.values(), self.ups, self.downs, strict=True):
            assert isinstance(layer, SubspaceLinear)
            layer.share(up, down)

"""An adapter: the values of a parameter space, with what is known about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from portraitist.adapters.layer import AdapterLayer
from portraitist.adapters.layouts.layout import MethodConfig
from portraitist.adapters.method import Method
from portraitist.adapters.provenance import Provenance
from portraitist.adapters.space import Space
from portraitist.adapters.spec import LayerSpec


@dataclass
class Adapter:
    """Values of a space: one adapter, or with a leading axis on every tensor a bank of several.

    Attributes:
        space: Method, configuration and layers.
        values: Tensors by layer name and parameter name.
        provenance: What its file says of it.
    """

    space: Space
    values: dict[str, dict[str, Tensor]]
    provenance: Provenance = field(default_factory=Provenance)

    @classmethod
    def create(
        cls,
        method: str,
        config: MethodConfig | Mapping[str, Any],
        specs: Sequence[LayerSpec],
        generator: torch.Generator,
    ) -> "Adapter":
        """Create an adapter that leaves the base unchanged, with trainable float32 parameters."""
        space = Space.of(method, config, specs)
        return cls(space, space.blank(generator))

    @property
    def method(self) -> Method:
        """Return the space's method."""
        return self.space.method

    @property
    def config(self) -> MethodConfig:
        """Return the method's configuration."""
        return self.space.config

    @property
    def layers(self) -> Mapping[str, AdapterLayer]:
        """Return the formulas by layer name."""
        return self.space.layers

    @property
    def bank_size(self) -> int | None:
        """Return how many adapters it holds, None for a single one."""
        return self.space.bank_size(self.values)

    def named_parameters(self) -> dict[str, Tensor]:
        """Return all tensors by ``layer.parameter``."""
        return {f"{layer}.{key}": value for layer, tensors in self.values.items() for key, value in tensors.items()}

    def count(self) -> int:
        """Return how many numbers the adapter holds; a bank, all of its adapters together."""
        return self.space.count * (self.bank_size or 1)

    def components(self) -> list[str]:
        """Return the names of the adapted components."""
        return sorted({layer.partition(".")[0] for layer in self.layers})

    def to(self, device: torch.device | str) -> "Adapter":
        """Move the parameters in place (identity of leaves is kept)."""
        for tensors in self.values.values():
            for tensor in tensors.values():
                tensor.data = tensor.data.to(device)
        return self

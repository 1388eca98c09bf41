"""Parameter spaces: which numbers an adapter of a method has on a set of layers, and how they are laid out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from portraitist.adapters.layer import AdapterLayer, bank_size
from portraitist.adapters.layouts.layout import MethodConfig
from portraitist.adapters.method import Method
from portraitist.adapters.methods import get_method
from portraitist.adapters.spec import LayerSpec
from portraitist.errors import BadConfig

# Tensors by layer name and parameter name.
Values = Mapping[str, Mapping[str, Tensor]]
Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Space:
    """A method, its configuration, and the layers it adapts; equal to another where values mean the same in both.

    Values may have a leading bank axis ``[N, ...]`` on every tensor; then they are N adapters of the space.

    Attributes:
        method: The method.
        config: Its configuration.
        layers: Formulas by layer name.
    """

    method: Method
    config: MethodConfig
    layers: Mapping[str, AdapterLayer]

    @classmethod
    def of(cls, method: str | Method, config: MethodConfig | Mapping[str, Any], specs: Iterable[LayerSpec]) -> "Space":
        """Describe the adapters of a method on some layers.

        Raises:
            BadConfig: If there is no such method, its configuration is wrong, or it does not adapt a layer.
        """
        known = get_method(method) if isinstance(method, str) else method
        settings = config if isinstance(config, MethodConfig) else known.parse_config(config)
        return cls(known, settings, {spec.name: known.layer(spec, settings) for spec in specs})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self._content == other._content

    def __hash__(self) -> int:
        return hash((self.method.name, frozenset(self.layers)))

    @cached_property
    def _content(self) -> tuple[str, MethodConfig, dict[str, LayerSpec]]:
        return self.method.name, self.config, self.specs

    @cached_property
    def specs(self) -> dict[str, LayerSpec]:
        """Return the adapted layers by name."""
        return {name: layer.spec for name, layer in self.layers.items()}

    @cached_property
    def shapes(self) -> dict[str, dict[str, Shape]]:
        """Return the shapes of an adapter's tensors, without a bank axis."""
        return {name: layer.shapes() for name, layer in self.layers.items()}

    @cached_property
    def count(self) -> int:
        """Return how many numbers an adapter holds."""
        return sum(number for _, _, _, number in self._places)

    @cached_property
    def _places(self) -> list[tuple[str, str, Shape, int]]:
        """Return the tensors in the order of a flat vector: by the layers' names, whatever order they were found in."""
        return [
            (layer, key, shape, torch.Size(shape).numel())
            for layer, shapes in sorted(self.shapes.items())
            for key, shape in shapes.items()
        ]

    def blank(self, generator: torch.Generator) -> dict[str, dict[str, Tensor]]:
        """Return trainable float32 values that leave the base unchanged."""
        return {
            name: {key: nn.Parameter(value) for key, value in layer.initial(generator).items()}
            for name, layer in self.layers.items()
        }

    def only(self, names: Iterable[str]) -> "Space":
        """Return the space of some of the layers, in the order they have here."""
        wanted = set(names)
        return Space(self.method, self.config, {name: layer for name, layer in self.layers.items() if name in wanted})

    def bank_size(self, values: Values) -> int | None:
        """Return how many adapters values hold, None for a single one; the first tensor tells."""
        return next((bank_size(self.layers[name], params) for name, params in values.items()), None)

    def check(self, values: Values) -> int | None:
        """Return how many adapters values hold, None for a single one, after a look at every tensor's shape.

        Raises:
            BadConfig: If a tensor is missing, nobody's, or of another shape.
        """
        if values.keys() != self.layers.keys():
            name = sorted(values.keys() ^ self.layers.keys())[0]
            raise BadConfig(f"the values and the space have different layers: {name}")
        count = self.bank_size(values)
        for name, shapes in self.shapes.items():
            if shapes.keys() != values[name].keys():
                raise BadConfig(f"{name} has the parameters {', '.join(shapes)}, not {', '.join(values[name])}")
            for key, shape in shapes.items():
                wanted = shape if count is None else (count, *shape)
                if values[name][key].shape != wanted:
                    found = tuple(values[name][key].shape)
                    raise BadConfig(f"{name}.{key} has shape {found} where {wanted} is needed")
        return count

    def flatten(self, values: Values) -> Tensor:
        """Return values as a vector ``[P]``, a bank's as ``[N, P]``; gradients pass."""
        leading = 0 if self.bank_size(values) is None else 1
        return torch.cat([values[layer][key].flatten(leading) for layer, key, _, _ in self._places], leading)

    def unflatten(self, flat: Tensor) -> dict[str, dict[str, Tensor]]:
        """Return the values that a vector ``[P]``, or N of them ``[N, P]``, holds, as views; gradients pass.

        Raises:
            BadConfig: If it has another length.
        """
        if flat.ndim not in (1, 2) or flat.shape[-1] != self.count:
            raise BadConfig(f"an adapter of this space holds {self.count} numbers, not {tuple(flat.shape)}")
        parts = flat.split([number for _, _, _, number in self._places], -1)
        values: dict[str, dict[str, Tensor]] = {name: {} for name in self.layers}
        for (layer, key, shape, _), part in zip(self._places, parts, strict=True):
            values[layer][key] = part.unflatten(-1, shape)
        return values


def require_one_space(spaces: Sequence[Space]) -> None:
    """Refuse adapters that are not of one space.

    Raises:
        BadConfig: Naming the first that differs, and in what.
    """
    first = spaces[0]
    for number, other in enumerate(spaces[1:], 2):
        if (other.method.name, other.config) != (first.method.name, first.config):
            raise BadConfig(
                f"adapter {number} is {other.method.name} {other.config}, the first {first.method.name} {first.config};"
                " a bank holds adapters of one method and configuration"
            )
        if other.specs != first.specs:
            both = sorted(other.specs.keys() | first.specs.keys())
            name = next(name for name in both if other.specs.get(name) != first.specs.get(name))
            raise BadConfig(
                f"adapter {number} and the first differ in layer {name}; the adapters of a bank have the same layers"
            )

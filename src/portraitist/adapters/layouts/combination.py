"""Layouts of several methods as one, such as ``textual-inversion+krona``: each adapts its own kinds of layer.

A layer belongs to the first of the methods that adapts its kind.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portraitist.adapters.layouts.layout import Layout, MethodConfig, Shapes
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import BadConfig

SIGN = "+"


@dataclass(frozen=True)
class CombinedConfig(MethodConfig):
    """Configurations of the combined methods.

    Attributes:
        parts: Each method's configuration, in the order of the methods.
    """

    parts: tuple[MethodConfig, ...]


@dataclass(frozen=True)
class CombinedLayout(Layout):
    """Layouts of methods that adapt different kinds of layer.

    Attributes:
        parts: The methods' layouts.
    """

    parts: tuple[Layout, ...] = ()

    def layer_shapes(self, spec: LayerSpec, config: MethodConfig) -> Shapes:
        """Return the shapes of the parameters of the method that the layer belongs to."""
        for part, own in zip(self.parts, part_configs(config), strict=True):
            if spec.kind in part.shapes:
                return part.layer_shapes(spec, own)
        return super().layer_shapes(spec, config)  # says what kinds there are

    @property
    def seeded(self) -> bool:
        """Say whether one of the methods draws numbers."""
        return any(part.seeded for part in self.parts)

    def drawn_numbers(self, spec: LayerSpec, config: MethodConfig) -> int:
        """Return how many numbers the method that the layer belongs to draws for it."""
        owners = zip(self.parts, part_configs(config), strict=True)
        return next((part.drawn_numbers(spec, own) for part, own in owners if spec.kind in part.shapes), 0)

    def parse_config(self, values: Mapping[str, Any]) -> CombinedConfig:
        """Build the configurations from plain values by method name.

        Raises:
            BadConfig: On the name of a method that takes no part, or a bad value.
        """
        names = [part.name for part in self.parts]
        if strange := [name for name in values if name not in names]:
            raise BadConfig(f"{self.name} has settings for {' and '.join(names)}, not for {strange[0]!r}")
        if plain := [name for name, value in values.items() if not isinstance(value, Mapping)]:
            raise BadConfig(
                f"{self.name}: the settings of {plain[0]} are `name: value` lines, not {values[plain[0]]!r}"
            )
        return CombinedConfig(tuple(part.parse_config(values.get(part.name, {})) for part in self.parts))

    def plain_config(self, config: MethodConfig) -> dict[str, Any]:
        """Return the settings as plain values by method name."""
        configs = part_configs(config)
        return {part.name: part.plain_config(own) for part, own in zip(self.parts, configs, strict=True)}


def combine_layouts(parts: Sequence[Layout]) -> CombinedLayout:
    """Combine the layouts of several methods.

    Raises:
        BadConfig: If one of them would get no layer.
    """
    name = SIGN.join(part.name for part in parts)
    shapes: dict[Kind, Callable[[LayerSpec, Any], Shapes]] = {}
    for part in parts:
        if shapes.keys() >= part.shapes.keys():
            raise BadConfig(f"{name}: the methods before {part.name} adapt all that it could; leave it out")
        shapes |= {kind: shape for kind, shape in part.shapes.items() if kind not in shapes}
    return CombinedLayout(
        name=name,
        config=CombinedConfig,
        shapes=shapes,
        parts=tuple(parts),
    )


def part_configs(config: MethodConfig) -> tuple[MethodConfig, ...]:
    """Return the configurations of the combined methods."""
    assert isinstance(config, CombinedConfig)
    return config.parts

"""Several methods as one, such as ``textual-inversion+krona``: each adapts its own kinds of layer.

A layer belongs to the first of the methods that adapts its kind. Everything made of layers (attaching, banks, files,
counting, sums) works on the combination as on any method, and it is saved as one adapter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portraitist.adapters.layer import AdapterLayer, Kind, LayerSpec
from portraitist.adapters.method import Method, MethodConfig
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
class CombinedMethod(Method):
    """Methods that adapt different kinds of layer.

    Attributes:
        parts: The methods.
    """

    parts: tuple[Method, ...] = ()

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
        configs = _parts(config)
        return {part.name: part.plain_config(own) for part, own in zip(self.parts, configs, strict=True)}

    def layer(self, spec: LayerSpec, config: MethodConfig) -> AdapterLayer:
        """Build the formulas of the method that the layer belongs to."""
        for part, own in zip(self.parts, _parts(config), strict=True):
            if spec.kind in part.layers:
                return part.layer(spec, own)
        return super().layer(spec, config)  # says what kinds there are


def combine(parts: Sequence[Method]) -> CombinedMethod:
    """Combine methods.

    Raises:
        BadConfig: If one of them would get no layer.
    """
    name = SIGN.join(part.name for part in parts)
    layers: dict[Kind, type[AdapterLayer]] = {}
    for part in parts:
        new = {kind: layer for kind, layer in part.layers.items() if kind not in layers}
        if not new:
            raise BadConfig(f"{name}: the methods before {part.name} adapt all that it could; leave it out")
        layers |= new
    return CombinedMethod(
        name=name,
        summary=" and ".join(part.summary for part in parts),
        paper=", ".join(part.paper for part in parts),
        config=CombinedConfig,
        layers=layers,
        sum_config=lambda configs: _sum_config(parts, configs),
        full_rank=any(part.full_rank for part in parts),
        parts=tuple(parts),
    )


def _sum_config(parts: Sequence[Method], configs: Sequence[CombinedConfig]) -> CombinedConfig | None:
    sums = []
    for index, part in enumerate(parts):
        total = None if part.sum_config is None else part.sum_config([config.parts[index] for config in configs])
        if total is None:
            return None
        sums.append(total)
    return CombinedConfig(tuple(sums))


def _parts(config: MethodConfig) -> tuple[MethodConfig, ...]:
    assert isinstance(config, CombinedConfig)
    return config.parts

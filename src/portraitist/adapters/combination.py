"""Several methods as one, such as ``textual-inversion+krona``: each adapts its own kinds of layer.

A layer belongs to the first of the methods that adapts its kind. Everything made of layers (attaching, banks, files,
counting, sums) works on the combination as on any method, and it is saved as one adapter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from portraitist.adapters.layer import AdapterLayer
from portraitist.adapters.layouts.combination import CombinedConfig, combine_layouts, part_configs
from portraitist.adapters.layouts.layout import MethodConfig
from portraitist.adapters.method import Method
from portraitist.adapters.spec import Kind, LayerSpec


@dataclass(frozen=True)
class CombinedMethod(Method):
    """Methods that adapt different kinds of layer.

    Attributes:
        parts: The methods.
    """

    parts: tuple[Method, ...] = ()

    def layer(self, spec: LayerSpec, config: MethodConfig) -> AdapterLayer:
        """Build the formulas of the method that the layer belongs to."""
        for part, own in zip(self.parts, part_configs(config), strict=True):
            if spec.kind in part.layers:
                return part.layer(spec, own)
        return super().layer(spec, config)  # says what kinds there are


def combine(parts: Sequence[Method]) -> CombinedMethod:
    """Combine methods.

    Raises:
        BadConfig: If one of them would get no layer.
    """
    layers: dict[Kind, type[AdapterLayer]] = {}
    for part in parts:
        layers |= {kind: layer for kind, layer in part.layers.items() if kind not in layers}
    return CombinedMethod(
        layout=combine_layouts([part.layout for part in parts]),
        summary=" and ".join(part.summary for part in parts),
        paper=", ".join(part.paper for part in parts),
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

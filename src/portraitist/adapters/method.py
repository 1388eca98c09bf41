"""The contract of a method: its layout, and the formulas it has for each kind of weight."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portraitist.adapters.layer import AdapterLayer
from portraitist.adapters.layouts.layout import Layout, MethodConfig
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import BadConfig


@dataclass(frozen=True)
class Method:
    """A way to adapt layers.

    Attributes:
        layout: Its name, its configuration and its parameters' shapes.
        summary: One line for listings.
        paper: Where it comes from.
        layers: The layer class for each kind of weight it adapts; classes are called with (spec, config).
        sum_config: Configuration of the exact sum of adapters of the given configurations; None (or a function that
            returns None) when the sum is not of this method, and adapters are added as LoRA.
        full_rank: The change of a layer has full rank in general, so that an exact LoRA holds more than the layer.
    """

    layout: Layout
    summary: str
    paper: str
    layers: Mapping[Kind, type[AdapterLayer]]
    sum_config: Callable[[Sequence[Any]], MethodConfig | None] | None = None
    full_rank: bool = False

    @property
    def name(self) -> str:
        """Return its name in files and on the command line."""
        return self.layout.name

    @property
    def config(self) -> type[MethodConfig]:
        """Return its configuration class."""
        return self.layout.config

    def layer(self, spec: LayerSpec, config: MethodConfig) -> AdapterLayer:
        """Build the formulas for one layer.

        Raises:
            BadConfig: If the method does not adapt this kind of layer.
        """
        if spec.kind not in self.layers:
            kinds = ", ".join(kind.value for kind in self.layers)
            raise BadConfig(f"{spec.name} is a {spec.kind.value} layer; {self.name} adapts {kinds} layers only")
        return self.layers[spec.kind](spec, config)  # type: ignore[call-arg]

    def plain_config(self, config: MethodConfig) -> dict[str, Any]:
        """Return a configuration as plain values, as `parse_config` takes them."""
        return self.layout.plain_config(config)

    def parse_config(self, values: Mapping[str, Any]) -> MethodConfig:
        """Build the configuration from plain values.

        Raises:
            BadConfig: On an unknown name (with the nearest valid one) or a bad value.
        """
        return self.layout.parse_config(values)

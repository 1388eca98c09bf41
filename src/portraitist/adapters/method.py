"""The contract of a method: its name, its configuration, and its layer class for each kind of weight."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import Any

from pydantic import TypeAdapter, ValidationError

from portraitist.adapters.layer import AdapterLayer, Kind, LayerSpec
from portraitist.errors import BadConfig


@dataclass(frozen=True)
class MethodConfig:
    """Base of the methods' configurations. Every field is documented, validated and JSON-able."""


@dataclass(frozen=True)
class Method:
    """A way to adapt layers.

    Attributes:
        name: Name in files and on the command line.
        summary: One line for listings.
        paper: Where it comes from.
        config: Its configuration class.
        layers: The layer class for each kind of weight it adapts; classes are called with (spec, config).
        sum_config: Configuration of the exact sum of adapters of the given configurations; None (or a function that
            returns None) when the sum is not of this method, and adapters are added as LoRA.
        full_rank: The change of a layer has full rank in general, so that an exact LoRA holds more than the layer.
    """

    name: str
    summary: str
    paper: str
    config: type[MethodConfig]
    layers: Mapping[Kind, type[AdapterLayer]]
    sum_config: Callable[[Sequence[Any]], MethodConfig | None] | None = None
    full_rank: bool = False

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
        return asdict(config)

    def parse_config(self, values: Mapping[str, Any]) -> MethodConfig:
        """Build the configuration from plain values.

        Raises:
            BadConfig: On an unknown name (with the nearest valid one) or a bad value.
        """
        known = [field.name for field in fields(self.config)]
        for name in values:
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
                raise BadConfig(f"{self.name} has no setting {name!r}; {hint}")
        try:
            return TypeAdapter(self.config).validate_python(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            setting = ".".join(str(part) for part in first["loc"])
            raise BadConfig(f"{self.name}: {setting}: {first['msg']}, not {first['input']!r}") from error

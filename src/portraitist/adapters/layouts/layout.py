"""The contract of a layout: which numbers an adapter of a method has on a layer. Needs no torch."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import Any

from pydantic import TypeAdapter, ValidationError

from portraitist.adapters.spec import Kind, LayerSpec, Shape
from portraitist.errors import BadConfig

Shapes = dict[str, Shape]


@dataclass(frozen=True)
class MethodConfig:
    """Base of the methods' configurations. Every field is documented, validated and JSON-able."""


@dataclass(frozen=True)
class Layout:
    """A method's configuration, and the parameters it has on each kind of weight.

    Attributes:
        name: The method's name.
        config: Its configuration class.
        shapes: For each kind of weight it adapts, the parameters' shapes from (spec, config), without a bank axis.
        drawn: How many numbers its formulas draw for a layer from a seed, from (spec, config); None for methods whose
            files hold all their numbers.
    """

    name: str
    config: type[MethodConfig]
    shapes: Mapping[Kind, Callable[[LayerSpec, Any], Shapes]]
    drawn: Callable[[LayerSpec, Any], int] | None = None

    @property
    def seeded(self) -> bool:
        """Say whether its formulas draw numbers from a seed that files do not hold."""
        return self.drawn is not None

    def drawn_numbers(self, spec: LayerSpec, config: MethodConfig) -> int:
        """Return how many numbers are drawn for a layer."""
        return 0 if self.drawn is None else self.drawn(spec, config)

    def layer_shapes(self, spec: LayerSpec, config: MethodConfig) -> Shapes:
        """Return the shapes of one layer's parameters.

        Raises:
            BadConfig: If the method does not adapt this kind of layer, or not with this configuration.
        """
        if spec.kind not in self.shapes:
            kinds = ", ".join(kind.value for kind in self.shapes)
            raise BadConfig(f"{spec.name} is a {spec.kind.value} layer; {self.name} adapts {kinds} layers only")
        return self.shapes[spec.kind](spec, config)

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

"""An adapter: a method, its configuration, and parameters for each adapted layer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from portraitist.adapters.layer import AdapterLayer, LayerSpec
from portraitist.adapters.registry import Method, MethodConfig, get_method
from portraitist.errors import BadConfig


def find_layers(components: Mapping[str, nn.Module], patterns: Sequence[str]) -> list[LayerSpec]:
    """Describe the adaptable layers whose name matches a pattern, one that several modules share by its first name.

    Args:
        components: Modules by component name, e.g. ``{"unet": ..., "text_encoder": ...}``.
        patterns: Shell-style patterns on ``component.module.path``. ``linear:``, ``conv:``, ``transposed:``, ``norm:``
            or ``embedding:`` before a pattern restricts it to a kind; one that starts with ``!`` takes away.

    Raises:
        BadConfig: If nothing matches.
    """
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    found, weights = [], set()
    for spec, module in adaptable_modules(components):
        if not any(_matches(spec, p) for p in wanted) or any(_matches(spec, p) for p in unwanted):
            continue
        weight = (spec.kind, id(module.weight))
        if weight not in weights:
            weights.add(weight)
            found.append(spec)
    if not found:
        raise BadConfig(f"no adaptable layer matches {', '.join(patterns)} in {', '.join(components)}")
    return found


def adaptable_modules(components: Mapping[str, nn.Module]) -> Iterator[tuple[LayerSpec, Any]]:
    """Yield every module that can be adapted with its description, in the order of the components."""
    for component, root in components.items():
        for path, module in root.named_modules():
            spec = LayerSpec.of(f"{component}.{path}", module)
            if spec is not None:
                yield spec, module


def find_module(components: Mapping[str, nn.Module], spec: LayerSpec) -> Any:
    """Return the module that a layer describes.

    Raises:
        BadConfig: If there is none, or its weight has another shape or is applied otherwise.
    """
    component, _, path = spec.name.partition(".")
    if component not in components:
        raise BadConfig(f"the adapter changes {component!r}, which this base has not; it has {', '.join(components)}")
    try:
        module = components[component].get_submodule(path)
    except AttributeError as error:
        raise BadConfig(f"the adapter changes {spec.name}, which this base has not") from error
    here = LayerSpec.of(spec.name, module)
    if here is None or here.shape != spec.shape:
        shape = None if here is None else here.shape
        raise BadConfig(f"{spec.name} has a weight of shape {shape} here, but {spec.shape} in the adapter")
    if replace(here, bias=spec.bias) != spec:
        raise BadConfig(f"{spec.name} is a {here.kind.value} layer of another stride, padding or kind in the adapter")
    return module


def _matches(spec: LayerSpec, pattern: str) -> bool:
    kind, colon, rest = pattern.partition(":")
    return fnmatchcase(spec.name, rest) and spec.kind.value == kind if colon else fnmatchcase(spec.name, pattern)


@dataclass
class Adapter:
    """Parameters of one method on some layers of a base, with what is known about them.

    Attributes:
        method: The method.
        config: Its configuration.
        layers: Formulas by layer name.
        parameters: Tensors by layer name and parameter name.
        metadata: JSON-able facts: base fingerprint, trigger words, recipe, ...
    """

    method: Method
    config: MethodConfig
    layers: dict[str, AdapterLayer]
    parameters: dict[str, dict[str, Tensor]]
    metadata: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def create(
        cls,
        method: str,
        config: MethodConfig | Mapping[str, Any],
        specs: Sequence[LayerSpec],
        generator: torch.Generator,
    ) -> "Adapter":
        """Create an adapter that leaves the base unchanged, with trainable float32 parameters."""
        info = get_method(method)
        settings = config if isinstance(config, MethodConfig) else info.parse_config(config)
        layers = {spec.name: info.layer(spec, settings) for spec in specs}
        parameters: dict[str, dict[str, Tensor]] = {
            name: {key: nn.Parameter(value) for key, value in layer.initial(generator).items()}
            for name, layer in layers.items()
        }
        return cls(info, settings, layers, parameters)

    @classmethod
    def load(cls, path: str | Path) -> "Adapter":
        """Read an adapter file; see `portraitist.adapters.load_adapter`."""
        from portraitist.adapters.files import load_adapter

        return load_adapter(Path(path))

    def save(self, path: str | Path) -> None:
        """Write an adapter file; it appears complete or not at all."""
        from portraitist.adapters.files import save_adapter

        save_adapter(self, Path(path))

    def named_parameters(self) -> dict[str, Tensor]:
        """Return all tensors by ``layer.parameter``."""
        return {f"{layer}.{key}": value for layer, tensors in self.parameters.items() for key, value in tensors.items()}

    def count(self) -> int:
        """Return how many numbers the adapter holds."""
        return sum(tensor.numel() for tensor in self.named_parameters().values())

    def components(self) -> list[str]:
        """Return the names of the adapted components."""
        return sorted({layer.partition(".")[0] for layer in self.layers})

    def to(self, device: torch.device | str) -> "Adapter":
        """Move the parameters in place (identity of leaves is kept)."""
        for tensors in self.parameters.values():
            for tensor in tensors.values():
                tensor.data = tensor.data.to(device)
        return self


def count_parameters(method: str, config: Mapping[str, Any], specs: Sequence[LayerSpec]) -> int:
    """Count an adapter's numbers from layer descriptions alone; no weight is made."""
    info = get_method(method)
    settings = info.parse_config(config)
    return sum(torch.Size(shape).numel() for spec in specs for shape in info.layer(spec, settings).shapes().values())

"""Finding the layers of a model that can be adapted, and the module that a layer describes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from portraitist.adapters.layer import describe_layer
from portraitist.adapters.patterns import select_layers
from portraitist.adapters.spec import LayerSpec
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
    described = ((spec, id(module.weight)) for spec, module in adaptable_modules(components))
    found = select_layers(described, patterns)
    if not found:
        raise BadConfig(f"no adaptable layer matches {', '.join(patterns)} in {', '.join(components)}")
    return found


def adaptable_modules(components: Mapping[str, nn.Module]) -> Iterator[tuple[LayerSpec, Any]]:
    """Yield every module that can be adapted with its description, in the order of the components."""
    for component, root in components.items():
        for path, module in root.named_modules():
            spec = describe_layer(f"{component}.{path}", module)
            if spec is not None:
                yield spec, module


def find_module(components: Mapping[str, nn.Module], spec: LayerSpec) -> Any:
    """Return the module that a layer describes.

    Raises:
        BadConfig: If there is none, or its weight has another shape or is applied otherwise.
    """
    component, _, path = spec.name.partition(".")
    if component not in components:
        raise BadConfig(
            f"the adapter changes {component!r}, which this base does not have; it has {', '.join(components)}"
        )
    try:
        module = components[component].get_submodule(path)
    except AttributeError as error:
        raise BadConfig(f"the adapter changes {spec.name}, which this base does not have") from error
    here = describe_layer(spec.name, module)
    if here is None or here.shape != spec.shape:
        shape = None if here is None else here.shape
        raise BadConfig(f"{spec.name} has a weight of shape {shape} here, but {spec.shape} in the adapter")
    if replace(here, bias=spec.bias) != spec:
        raise BadConfig(
            f"{spec.name} is a {here.kind.value} layer here, but of another kind, stride or padding in the adapter"
        )
    return module

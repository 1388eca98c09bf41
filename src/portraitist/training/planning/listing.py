"""Listing the layers of architectures, and the footprints of recipes on them, by building them without weights."""

import json
from pathlib import Path

from portraitist.adapters import list_methods
from portraitist.adapters.finding import adaptable_modules
from portraitist.bases.architectures import architecture_family, build_architecture, list_architectures
from portraitist.training.planning.architectures import Architecture
from portraitist.training.planning.planning import count_run
from portraitist.training.planning.published import ARCHITECTURES, PRECISION, RANKS, footprint_entry


def list_layers(name: str) -> Architecture:
    """List the layers of an architecture.

    Args:
        name: A name of `list_architectures`, or a folder in the diffusers layout.

    Raises:
        BadConfig: If there is no such architecture.
    """
    components = build_architecture(name)
    first: dict[int, str] = {}
    layers, shared = [], {}
    for spec, module in adaptable_modules(components):
        layers.append(spec)
        owner = first.setdefault(id(module.weight), spec.name)
        if owner != spec.name:
            shared[spec.name] = owner
    numbers = {key: sum(p.numel() for p in module.parameters()) for key, module in components.items()}
    return Architecture(architecture_family(name), numbers, tuple(layers), shared)


def write_listings(folder: Path) -> None:
    """Write the files of all named architectures."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in list_architectures():
        (folder / f"{name}.json.gz").write_bytes(list_layers(name).pack())


def write_footprints(file: Path) -> None:
    """Write the footprints of all methods' recipes, and at other ranks, on the architectures that people train."""
    entries = []
    for name in ARCHITECTURES:
        for method in list_methods():
            recipe, _, footprint = count_run(name, method.name, {}, PRECISION)
            entries.append(footprint_entry(name, recipe, footprint))
            for rank in RANKS.get(method.name, ()):
                if rank != recipe.method_config["rank"]:
                    settings = {"method_config": {"rank": rank}}
                    recipe, _, footprint = count_run(name, method.name, settings, PRECISION)
                    entries.append(footprint_entry(name, recipe, footprint))
    file.write_text(json.dumps(entries, indent=1) + "\n")

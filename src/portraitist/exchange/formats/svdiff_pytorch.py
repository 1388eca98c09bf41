"""Spectral shifts of svdiff-pytorch: ``spectral_shifts.safetensors``, and ``spectral_shifts_te.safetensors`` beside it.

A file holds one component, ``<module path>.delta`` with a shift for each singular value. That code takes the scale of a
norm, n numbers, for a 1 x n matrix: it has one singular value, its length s, and one shift d, so that
``w' = relu(s + d) / s * w``. We read it as the n shifts that do the same; written back, norms are left out.

Shifts say nothing of the layer they belong to, so files are read with their base only.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.layer import describe_layer
from portraitist.adapters.outline import read_outline
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import BadConfig, BadFile, MissingBase
from portraitist.exchange.assembling import build_shifts
from portraitist.exchange.formats.format import Format
from portraitist.exchange.naming import Components, Naming, clip_path
from portraitist.exchange.tensor_files import Tensors, write_tensors
from portraitist.files import write_folder_aside

_FILES = {"unet": "spectral_shifts.safetensors", "text_encoder": "spectral_shifts_te.safetensors"}
_SUFFIX = ".delta"


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return [path / name for name in _FILES.values() if (path / name).is_file()]
    return [path]


def _sniff(path: Path) -> bool:
    files = _files(path)
    if not files:
        return False
    shapes = read_outline(files[0]).shapes
    return any(key.endswith(_SUFFIX) and len(shape) == 1 for key, shape in shapes.items())


def _load(path: Path, components: Components | None) -> Adapter:
    if components is None:
        raise MissingBase(f"{path} holds spectral shifts, which mean nothing without their base")
    specs: list[LayerSpec] = []
    shifts: dict[str, Tensor] = {}
    facts = {}
    for part in _files(path):
        file, naming = Tensors.read(part), Naming(part, components)
        modules = [key.removesuffix(_SUFFIX) for key in file.unused if key.endswith(_SUFFIX)]
        if not modules:
            raise BadFile(f"{part} holds no spectral shifts")
        component = naming.owner(modules)
        if path.is_dir() and part.name != _FILES.get(component):
            raise BadFile(f"{part} holds shifts of the {component}, which belong into another file")
        for module in modules:
            layer = naming.dotted(component, module)
            shift = file.take(module + _SUFFIX)
            assert shift is not None
            specs.append(_spec(naming, layer, components))
            shifts[layer] = _shift(part, specs[-1], shift, components)
        file.require_all_used("svdiff-pytorch")
        facts = file.own_facts()
    file.require_layers(shifts, part=not path.is_dir())
    return build_shifts(path, specs, shifts, facts)


def _spec(naming: Naming, layer: str, components: Components) -> LayerSpec:
    spec = describe_layer(layer, _module(layer, components))
    if spec is None:
        raise BadFile(f"{naming.path} changes {layer}, which has no weight that can be shifted")
    return spec


@torch.no_grad()
def _shift(path: Path, spec: LayerSpec, shift: Tensor, components: Components) -> Tensor:
    """Return the shifts in this package's meaning."""
    wanted = 1 if spec.kind is Kind.NORM else min(spec.out_features, spec.in_features)
    if shift.shape != (wanted,):
        raise BadFile(f"{path}: {spec.name} has {tuple(shift.shape)} shifts where ({wanted},) are needed in this base")
    if spec.kind is not Kind.NORM:
        return shift
    weight = _module(spec.name, components).get_parameter("weight").detach().float()
    length = torch.linalg.vector_norm(weight)
    if length == 0:
        raise BadFile(f"{path}: the scale of {spec.name} is zero in this base, so its shift has no direction")
    return (torch.relu(length + shift) / length - 1) * weight


def _module(layer: str, components: Components) -> nn.Module:
    component, _, path = layer.partition(".")
    return components[component].get_submodule(path)


def _save(adapter: Adapter, path: Path, dtype: torch.dtype | None) -> None:
    if adapter.config.leak:  # type: ignore[attr-defined]
        raise BadConfig("files of svdiff-pytorch cannot hold a leak; only shifts trained with leak 0 can be written")
    tensors: dict[str, dict[str, Tensor]] = {}
    for layer, params in adapter.values.items():
        component, module = clip_path(layer)
        if component not in _FILES:
            raise BadConfig(f"files of svdiff-pytorch have no place for the {component}; they hold {', '.join(_FILES)}")
        spec, delta = adapter.layers[layer].spec, params["delta"].detach()
        missing = min(spec.out_features, spec.in_features) - delta.shape[0]
        tensors.setdefault(component, {})[module + _SUFFIX] = nn.functional.pad(delta, (0, missing))
    with write_folder_aside(path, instead_of=[path / name for name in _FILES.values()]) as temporary:
        for component, shifts in tensors.items():
            write_tensors(temporary / _FILES[component], shifts, adapter.provenance.facts, dtype, adapter.layers)


SVDIFF_PYTORCH = Format(
    name="svdiff-pytorch",
    description="spectral shifts for svdiff-pytorch (a folder; without norms)",
    sniff=_sniff,
    load=_load,
    save=_save,
    holds={"svdiff": frozenset({Kind.LINEAR, Kind.CONV, Kind.EMBEDDING})},
    folder=True,
    files=_files,
)

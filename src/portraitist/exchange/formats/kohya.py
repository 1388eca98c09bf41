"""LoRA as kohya's sd-scripts, A1111 and ComfyUI write it, on input also LyCORIS' LoCon, and DoRA of either.

``lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight``, ``.lora_up.weight``, ``.alpha``; a file without
alpha means alpha = rank. Text encoders are ``lora_te`` (Stable Diffusion 1 and 2) or ``lora_te1`` and ``lora_te2``
(XL and FLUX); their paths keep the level ``text_model``. XL files may use the original layout's block names, those
for FLUX.1 do (`portraitist.exchange.fused`).
"""

import re
from pathlib import Path

import torch
from torch import Tensor, tensor

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.methods.dora import DoraLayer
from portraitist.adapters.outline import read_outline
from portraitist.errors import BadFile
from portraitist.exchange.assembling import Factors, read_factors
from portraitist.exchange.formats.format import DORA_LAYERS, Format
from portraitist.exchange.fused import is_original, join
from portraitist.exchange.magnitudes import build_lora_or_dora, rank_and_alpha, take_magnitude
from portraitist.exchange.model_notes import BLACK_FOREST_LABS, DIFFUSERS, model_notes, network_notes
from portraitist.exchange.naming import Components, Naming, clip_path
from portraitist.exchange.tensor_files import Tensors, write_tensors

# Components by the prefixes of keys; the longer ones stand first.
_COMPONENTS = {
    "lora_unet_": "unet",
    "lora_transformer_": "transformer",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "lora_te_": "text_encoder",
}
# The lycoris package on its own prefixes every module with this, whatever the component.
_ANY = "lycoris_"
_PREFIX = re.compile(rf"({'|'.join([*_COMPONENTS, _ANY])})")
_DOWN = ".lora_down.weight"
# FLUX.1's transformer, which all but diffusers have in its original layout; sd-scripts calls every denoiser unet.
_FLUX, _ORIGINAL = "transformer.", "lora_unet_"


def flattened_name(layer: str, two_encoders: bool) -> str:
    """Return a layer's name in kohya's files.

    Args:
        layer: Component and module path.
        two_encoders: The base has two text encoders, so that the first is ``te1``.
    """
    component, path = clip_path(layer)
    prefixes = {name: prefix for prefix, name in _COMPONENTS.items()}
    prefix = prefixes.get(component)
    if component == "text_encoder" and two_encoders:
        prefix = "lora_te1_"
    if prefix is None:
        raise BadFile(f"files of this format have no place for the {component}; they hold {', '.join(prefixes)}")
    return prefix + path.replace(".", "_")


def has_two_encoders(adapter: Adapter) -> bool:
    """Say whether an adapter's base has two text encoders, as far as the adapter knows."""
    base = adapter.provenance.base
    family = (base.family or "") if base is not None else ""
    # All families with a transformer have several.
    return bool({"text_encoder_2", "transformer"} & {*adapter.components()}) or family.startswith(("sdxl", "flux"))


def resolve(naming: Naming, names: list[str]) -> dict[str, str]:
    """Return the layers that the flattened names of a file mean, by name."""
    layers = {}
    strays = [name.removeprefix(_ANY) for name in names if name.startswith(_ANY)]
    owner = naming.owner(strays, flat=True) if strays else ""
    for name in names:
        prefix = _PREFIX.match(name)
        if prefix is None:
            raise BadFile(
                f"{naming.path}: {name!r} belongs to no known component; names begin with {', '.join(_COMPONENTS)}"
            )
        component = owner if prefix[1] == _ANY else _COMPONENTS[prefix[1]]
        if component == "unet" and naming.components is not None and "unet" not in naming.components:
            component = "transformer"  # sd-scripts calls the denoiser unet in every family
        layers[name] = naming.flattened(component, name[prefix.end() :])
    return layers


def _sniff(path: Path) -> bool:
    return path.is_file() and any(_PREFIX.match(key) and key.endswith(_DOWN) for key in read_outline(path).shapes)


def _load(path: Path, components: Components | None) -> Adapter:
    file, naming = Tensors.read(path), Naming(path, components)
    names = [key.removesuffix(_DOWN) for key in file.unused if key.endswith(_DOWN)]
    factors: dict[str, Factors] = {}
    magnitudes: dict[str, Tensor | None] = {}
    for name, layer in resolve(naming, names).items():
        down, up = file.take_pair(name + _DOWN, f"{name}.lora_up.weight")
        alpha = file.take_number(f"{name}.alpha")
        scaling = 1.0 if alpha is None else alpha / max(1, down.shape[0])
        factors |= read_factors(naming, layer, up, down, scaling, file.take(f"{name}.lora_mid.weight"))
        magnitudes[layer] = take_magnitude(file, name)
    file.require_all_used("a LoRA")
    file.require_layers(factors)
    facts = file.own_facts()
    if "modelspec.trigger_phrase" in file.metadata:
        facts.setdefault("trigger", file.metadata["modelspec.trigger_phrase"])
    return build_lora_or_dora(path, naming, factors, magnitudes, facts)


def _save(adapter: Adapter, path: Path, dtype: torch.dtype | None) -> None:
    rank, alpha = rank_and_alpha(adapter)
    two_encoders, splittable = has_two_encoders(adapter), adapter.method.name == "lora" and is_original(adapter.layers)
    original = {layer for layer in adapter.values if splittable and layer.startswith(_FLUX)}
    tensors: dict[str, Tensor] = {}
    for layer, params in adapter.values.items():
        if layer not in original:
            name, known = flattened_name(layer, two_encoders), adapter.layers[layer]
            tensors |= _pair(name, params["up"], params["down"], alpha)
            if isinstance(known, DoraLayer):
                tensors[f"{name}.dora_scale"] = known.magnitudes(params)
    for part in join({layer: adapter.values[layer] for layer in original}):
        name = _ORIGINAL + part.layer.removeprefix(_FLUX).replace(".", "_")
        tensors |= _pair(name, part.up, part.down, alpha / rank * part.up.shape[1])
    module = "lycoris.kohya" if adapter.method.name == "dora" else "networks.lora_flux" if original else "networks.lora"
    arguments = {"algo": "lora", "dora_wd": "True"} if adapter.method.name == "dora" else {}
    implementation = BLACK_FOREST_LABS if original else DIFFUSERS
    notes = {**network_notes(module, rank, alpha, arguments), **model_notes(adapter, implementation)}
    write_tensors(path, tensors, adapter.provenance.facts, dtype, adapter.layers, notes)


def _pair(name: str, up: Tensor, down: Tensor, alpha: float) -> dict[str, Tensor]:
    return {name + _DOWN: down, f"{name}.lora_up.weight": up, f"{name}.alpha": tensor(float(alpha))}


KOHYA = Format(
    name="kohya",
    description="LoRA for ComfyUI, A1111 and kohya's sd-scripts",
    sniff=_sniff,
    load=_load,
    save=_save,
    holds=DORA_LAYERS,
    bound=frozenset({"dora"}),
)

"""LoRA as diffusers writes it: ``pytorch_lora_weights.safetensors``, in all layouts it has had.

Keys are a component and a module's path (files of the first versions hold the UNet alone and leave it out), and

- ``lora_A.weight``, ``lora_B.weight``; ``lora.down.weight``, ``lora.up.weight``; or, in text encoders,
  ``lora_linear_layer.down.weight``;
- in the oldest layout ``attn1.processor.to_q_lora.down.weight`` for the projection ``attn1.to_q``.

The strength is 1 unless the file says otherwise, by ``.alpha`` tensors or by the configuration that newer versions keep
in its metadata. We write the strength multiplied in, which every version reads alike.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.outline import read_outline
from portraitist.exchange.assembling import Factors, read_factors
from portraitist.exchange.formats.format import LORA_LAYERS, Format
from portraitist.exchange.formats.peft import LoraScaling
from portraitist.exchange.magnitudes import build_lora_or_dora, take_magnitude
from portraitist.exchange.model_notes import model_notes
from portraitist.exchange.naming import Components, Naming, clip_path
from portraitist.exchange.tensor_files import Tensors, parse_json, write_tensors

WEIGHTS = "pytorch_lora_weights.safetensors"
_METADATA = "lora_adapter_metadata"
# Of PEFT, kohya and XLabs.
_FOREIGN = re.compile(
    r"base_model\.model\.|lora_|lycoris_|(diffusion_model\.)?(double|single)_blocks\.\d+\.processor\."
)
_COMPONENT = re.compile(r"(unet|transformer|text_encoder(?:_[23])?|prior)\.(.+)")
_SIDES = {
    ".lora_A.weight": ".lora_B.weight",
    ".lora.down.weight": ".lora.up.weight",
    ".lora_linear_layer.down.weight": ".lora_linear_layer.up.weight",
    ".lora_layer.down.weight": ".lora_layer.up.weight",
    ".lora_down.weight": ".lora_up.weight",
    "_lora.down.weight": "_lora.up.weight",
}
# Projections of the oldest layout, which named those of text encoders like the UNet's.
_TEXT_PROJECTIONS = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


class Pair(NamedTuple):
    """The keys of one layer's two tensors, and where the layer is.

    Attributes:
        down, up: Keys.
        alpha: Key of its alpha, which need not be there.
        component, module: The layer.
    """

    down: str
    up: str
    alpha: str
    component: str
    module: str


def weights_file(path: Path) -> Path:
    """Return the file itself, or the one in a folder that a pipeline would load."""
    return path / WEIGHTS if path.is_dir() else path


def find_pairs(keys: list[str]) -> list[Pair]:
    """Find the layers of a file by the names of its ``down`` tensors."""
    pairs = []
    for key in keys:
        side = next((side for side in _SIDES if key.endswith(side)), None)
        if side is None:
            continue
        stem = key.removesuffix(side)
        match = _COMPONENT.fullmatch(stem)
        component, module = (match[1], match[2]) if match else ("unet", stem)
        if side.startswith("_"):
            module = _old_projection(component, module)
        module = module.replace(".processor.", ".")
        pairs.append(Pair(key, stem + _SIDES[side], f"{stem}.alpha", component, module))
    return pairs


def _old_projection(component: str, module: str) -> str:
    parent, _, projection = module.rpartition(".")
    if component.startswith("text_encoder"):
        return f"{parent}.{_TEXT_PROJECTIONS.get(projection, projection)}"
    return f"{module}.0" if projection == "to_out" else module


def has_pairs(path: Path) -> bool:
    """Say whether a file has this format's names, and not those of others."""
    file = weights_file(path)
    if not file.is_file():
        return False
    keys = list(read_outline(file).shapes)
    foreign = any(_FOREIGN.match(key) for key in keys)
    return not foreign and bool(find_pairs(keys))


def ranks_differ(path: Path) -> bool:
    """Say whether a layer's two tensors have no common rank, as DiffuseKronA's under the same names."""
    shapes = read_outline(weights_file(path)).shapes
    for pair in find_pairs(list(shapes)):
        up, down = shapes.get(pair.up, ()), shapes[pair.down]
        if len(up) > 1 and down and up[1] != down[0]:
            return True
    return False


def _sniff(path: Path) -> bool:
    return has_pairs(path) and not ranks_differ(path)


def _load(path: Path, components: Components | None) -> Adapter:
    file, naming = Tensors.read(weights_file(path)), Naming(path, components)
    scalings = _scalings(file)
    factors: dict[str, Factors] = {}
    magnitudes: dict[str, Tensor | None] = {}
    for pair in find_pairs(list(file.unused)):
        down, up = file.take_pair(pair.down, pair.up)
        rank = max(1, down.shape[0])
        alpha = file.take_number(pair.alpha)
        if alpha is not None:
            scaling = alpha / rank
        else:
            scaling = scalings[pair.component].of(pair.module, rank) if pair.component in scalings else 1.0
        layer = naming.dotted(pair.component, pair.module)
        factors |= read_factors(naming, layer, up, down, scaling, None)
        magnitudes[layer] = take_magnitude(file, pair.alpha.removesuffix(".alpha"))
    file.require_all_used("a LoRA")
    file.require_layers(factors)
    return build_lora_or_dora(path, naming, factors, magnitudes, file.own_facts())


def _scalings(file: Tensors) -> dict[str, LoraScaling]:
    """Return the strengths that the metadata gives, by component."""
    text = file.metadata.get(_METADATA)
    if text is None:
        return {}
    where = f"{file.path}: {_METADATA}"
    configs: dict[str, dict[str, Any]] = {}
    for name, value in parse_json(text, where).items():
        component, dot, setting = name.partition(".")
        if dot:
            configs.setdefault(component, {})[setting] = value
    return {component: LoraScaling.parse(config, where) for component, config in configs.items()}


def _save(adapter: Adapter, path: Path, dtype: torch.dtype | None) -> None:
    tensors = pipeline_tensors(adapter.values, adapter.config.scaling)  # type: ignore[attr-defined]
    file = path if path.suffix == ".safetensors" and not path.is_dir() else path / WEIGHTS
    write_tensors(file, tensors, adapter.provenance.facts, dtype, adapter.layers, model_notes(adapter))


def pipeline_tensors(parameters: Mapping[str, Mapping[str, Tensor]], scaling: float) -> dict[str, Tensor]:
    """Return LoRA tensors by the keys that ``load_lora_weights`` of a diffusers pipeline reads.

    Text encoders keep their older names: without any of them, diffusers does not recognise the layout of a file that
    adapts no attention there.
    """
    tensors = {}
    for layer, params in parameters.items():
        component, path = clip_path(layer)
        text = component.startswith("text_encoder")
        down = ".lora_linear_layer.down.weight" if text else ".lora_A.weight"
        tensors[f"{component}.{path}{down}"] = params["down"]
        tensors[f"{component}.{path}{_SIDES[down]}"] = params["up"] * scaling
    return tensors


DIFFUSERS = Format(
    name="diffusers",
    description="LoRA for load_lora_weights of diffusers' pipelines",
    sniff=_sniff,
    load=_load,
    save=_save,
    holds=LORA_LAYERS,
    folder=True,
    files=lambda path: [weights_file(path)],
)

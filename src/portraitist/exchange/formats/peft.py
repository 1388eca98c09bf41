"""LoRA, DoRA and LoHa as Hugging Face's PEFT writes them.

They are folders with ``adapter_config.json`` and ``adapter_model.safetensors``.

A folder holds one component. Adapters of several become a folder with one such folder for each, named as it.
"""

import json
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.methods.dora import DoraLayer
from portraitist.adapters.outline import read_outline
from portraitist.errors import BadConfig, BadFile
from portraitist.exchange.assembling import Factors, read_factors
from portraitist.exchange.formats.format import DORA_LAYERS, Format
from portraitist.exchange.hadamard import HadamardFactors, build_loha, read_hadamard
from portraitist.exchange.magnitudes import build_lora_or_dora, rank_and_alpha, take_magnitude
from portraitist.exchange.naming import Components, Naming
from portraitist.exchange.tensor_files import Tensors, read_json, write_tensors
from portraitist.files import write_folder_aside

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
# The types that can be read, and the first tensor of a layer in each.
_KEYS = {
    "LORA": re.compile(rf"{re.escape(_PREFIX)}(.+)\.lora_A\.weight"),
    "LOHA": re.compile(rf"{re.escape(_PREFIX)}(.+)\.hada_w1_a"),
}
# Components by the classes that PEFT notes as the adapted model's.
_CLASSES = {
    "UNet2DConditionModel": "unet",
    "CLIPTextModel": "text_encoder",
    "CLIPTextModelWithProjection": "text_encoder_2",
    "FluxTransformer2DModel": "transformer",
    "SD3Transformer2DModel": "transformer",
}
# Settings that change what the tensors mean, and the values under which they are plain LoRA.
_PLAIN: dict[str, tuple[Any, ...]] = {
    "fan_in_fan_out": (False, None),
    "lora_bias": (False, None),
    "bias": ("none", None),
    "modules_to_save": (None, []),
    "alora_invocation_tokens": (None, []),
    "layer_replication": (None, []),
}
# Initialisations that take what the factors start from out of the base's weights.
_CHANGES_BASE = re.compile(r"(olora|pissa|corda|loftq|lora_ga)", re.IGNORECASE)


@dataclass(frozen=True)
class LoraScaling:
    """How strongly PEFT applies each layer's LoRA: alpha / rank, or alpha / sqrt(rank) with rank stabilisation.

    Attributes:
        alpha: Alpha of the layers without one of their own; None means the rank.
        patterns: Alpha by module name; a name holds for all modules that end with it.
        stabilised: Divide by the root of the rank.
    """

    alpha: float | None
    patterns: Mapping[str, float]
    stabilised: bool

    @classmethod
    def parse(cls, config: Mapping[str, Any], where: str) -> "LoraScaling":
        """Read it from a LoRA configuration.

        Raises:
            BadFile: If the configuration asks for more than a plain LoRA, or cannot be understood.
        """
        for setting, plain in _PLAIN.items():
            if config.get(setting) not in plain:
                raise BadFile(f"{where}: {setting} is {config[setting]!r}; only plain LoRA can be read")
        if isinstance(init := config.get("init_lora_weights"), str) and _CHANGES_BASE.match(init):
            raise BadFile(
                f"{where}: init_lora_weights {init!r} changed the base's weights too; write it as plain LoRA with"
                " PEFT's save_pretrained(path_initial_model_for_weight_conversion=...)"
            )
        # LoHa's is called alpha.
        alpha, patterns = config.get("lora_alpha", config.get("alpha")), config.get("alpha_pattern") or {}
        numbers = [] if alpha is None else [alpha]
        if not isinstance(patterns, dict) or not all(map(_is_number, [*patterns.values(), *numbers])):
            raise BadFile(f"{where}: lora_alpha and alpha_pattern must be numbers")
        for pattern in patterns:
            if not re.fullmatch(r"\^?[\w.\-]+", pattern):
                raise BadFile(f"{where}: alpha_pattern {pattern!r} is not a module name, and patterns cannot be read")
        return cls(alpha, patterns, bool(config.get("use_rslora")))

    def of(self, module: str, rank: int) -> float:
        """Return the factor for a module's LoRA of a rank."""
        alpha = next((value for key, value in self.patterns.items() if _names(key, module)), self.alpha)
        return 1.0 if alpha is None else alpha / (math.sqrt(rank) if self.stabilised else rank)


def _names(pattern: str, module: str) -> bool:
    exact = pattern.removeprefix("^")
    return module == exact or (exact == pattern and module.endswith(f".{exact}"))


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max  # whole numbers in JSON may be larger


def _folders(path: Path) -> list[Path]:
    """Return the PEFT folders at a path: itself, the one a weights file lies in, or those inside, halves too."""
    if path.name == WEIGHTS and path.is_file():
        path = path.parent
    if (path / CONFIG).is_file():
        return [path]
    inside = sorted(path.glob("*")) if path.is_dir() else []
    if not any((folder / CONFIG).is_file() for folder in inside):
        return []
    return [folder for folder in inside if (folder / CONFIG).is_file() or (folder / WEIGHTS).is_file()]


def _sniff(path: Path) -> bool:
    if path.is_dir():
        return bool(_folders(path))
    return any(key.startswith(_PREFIX) for key in read_outline(path).shapes)


def _load(path: Path, components: Components | None) -> Adapter:
    folders = _folders(path)
    if not folders:
        raise BadFile(f"{path} has no {CONFIG} beside it, without which the strength of the LoRA is unknown")
    found, naming = _Found(), Naming(path, components)
    for folder in folders:
        file = Tensors.read(folder / WEIGHTS)
        _read_folder(folder, file, naming, found, named=folder != path)
    file.require_layers({**found.factors, **found.products}, part=folders == [path])
    if found.products and found.factors:
        raise BadFile(f"{path} holds LoRA for some parts of the model and LoHa for others; they are no single adapter")
    if found.products:
        return build_loha(path, found.products, found.facts)
    return build_lora_or_dora(path, naming, found.factors, found.magnitudes, found.facts)


@dataclass
class _Found:
    """What is found in folders: factors of LoRA or of LoHa, magnitudes, our own notes."""

    factors: dict[str, Factors] = field(default_factory=dict)
    products: dict[str, HadamardFactors] = field(default_factory=dict)
    magnitudes: dict[str, Tensor | None] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def _read_folder(folder: Path, file: Tensors, naming: Naming, found: _Found, named: bool) -> None:
    config = read_json(folder / CONFIG)
    if (kind := config.get("peft_type")) not in _KEYS:
        raise BadFile(f"{folder / CONFIG}: a PEFT adapter of type {kind!r}; {', '.join(_KEYS)} can be read")
    scaling = LoraScaling.parse(config, str(folder / CONFIG))
    modules = [match[1] for key in file.unused if (match := _KEYS[kind].fullmatch(key))]
    if not modules:
        raise BadFile(f"{file.path} holds no {kind}")
    found.facts = file.own_facts()
    component = str(found.facts.pop("component", ""))
    if not component.isidentifier():
        component = _component(config, folder, modules, naming, named)
    for module in modules:
        stem, layer = f"{_PREFIX}{module}", naming.dotted(component, module)
        if kind == "LOHA":
            found.products |= read_hadamard(file, naming, stem, layer, partial(scaling.of, module))
            continue
        down, up = file.take_pair(f"{stem}.lora_A.weight", f"{stem}.lora_B.weight")
        found.factors |= read_factors(naming, layer, up, down, scaling.of(module, max(1, down.shape[0])), None)
        found.magnitudes[layer] = take_magnitude(file, stem)
        if config.get("use_dora") and found.magnitudes[layer] is None:
            raise BadFile(f"{file.path} lacks {stem}.lora_magnitude_vector, which its configuration speaks of")
    file.require_all_used(f"a {kind}")


def _component(config: Mapping[str, Any], folder: Path, modules: list[str], naming: Naming, named: bool) -> str:
    """Return the component a folder belongs to: by its own name, the noted class, or the modules."""
    known = set(_CLASSES.values()) if naming.components is None else set(naming.components)
    if named and folder.name in known:
        return folder.name
    noted = config.get("auto_mapping")
    component = _CLASSES.get(str(noted.get("base_model_class"))) if isinstance(noted, dict) else None
    return component if component in known and component is not None else naming.owner(modules)


def _save(adapter: Adapter, path: Path, dtype: torch.dtype | None) -> None:
    if getattr(adapter.config, "axis", "output") != "output":
        raise BadConfig("PEFT's DoRA has a magnitude for each output; this adapter has one for each input")
    there = [folder / name for folder in (path, *path.glob("*")) for name in (CONFIG, WEIGHTS)]
    with write_folder_aside(path, instead_of=[file for file in there if file.is_file()]) as temporary:
        components = adapter.components()
        for component in components:
            folder = temporary if len(components) == 1 else temporary / component
            _write_folder(adapter, component, folder, dtype)


def _write_folder(adapter: Adapter, component: str, folder: Path, dtype: torch.dtype | None) -> None:
    modules = {
        layer.partition(".")[2]: params for layer, params in adapter.values.items() if layer.startswith(f"{component}.")
    }
    tensors: dict[str, Tensor] = {}
    for module, params in modules.items():
        tensors[f"{_PREFIX}{module}.lora_A.weight"] = params["down"]
        tensors[f"{_PREFIX}{module}.lora_B.weight"] = params["up"]
        layer = adapter.layers[f"{component}.{module}"]
        if isinstance(layer, DoraLayer):
            lengths = layer.magnitudes(params)
            tensors[f"{_PREFIX}{module}.lora_magnitude_vector"] = (
                lengths.flatten() if lengths.ndim == 2 else lengths.transpose(0, 1)
            )
    facts = {**adapter.provenance.facts, "component": component}
    write_tensors(folder / WEIGHTS, tensors, facts, dtype, adapter.layers)
    config = json.dumps(_config(adapter, sorted(modules)), indent=2)
    (folder / CONFIG).write_text(config, encoding="utf-8")


def _config(adapter: Adapter, modules: list[str]) -> dict[str, Any]:
    rank, alpha = rank_and_alpha(adapter)
    return {
        "peft_type": "LORA",
        "task_type": None,
        "auto_mapping": None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "target_modules": modules,
        "use_dora": adapter.method.name == "dora",
    }


PEFT = Format(
    name="peft",
    description="LoRA as a folder of Hugging Face's PEFT",
    sniff=_sniff,
    load=_load,
    save=_save,
    holds=DORA_LAYERS,
    bound=frozenset({"dora"}),
    folder=True,
    files=lambda path: [folder / WEIGHTS for folder in _folders(path)] or [path],
)

"""LoHa as LyCORIS writes it, which ComfyUI and A1111 read too; PEFT's folders are read in `peft`.

``hada_w1_a`` and so on behind kohya's module names, or dotted ones; see `portraitist.exchange.hadamard`. The scale is
alpha / rank, and 1 without alpha.
"""

import re
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, tensor

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.outline import read_outline
from portraitist.adapters.spec import Kind
from portraitist.exchange.formats.format import Format
from portraitist.exchange.formats.kohya import flattened_name, has_two_encoders, resolve
from portraitist.exchange.hadamard import HadamardFactors, build_loha, read_hadamard
from portraitist.exchange.model_notes import model_notes, network_notes
from portraitist.exchange.naming import Components, Naming
from portraitist.exchange.tensor_files import Tensors, write_tensors

_KEY = re.compile(r"(.+)\.hada_w1_a")


def _sniff(path: Path) -> bool:
    return path.is_file() and any(_KEY.fullmatch(key) for key in read_outline(path).shapes)


def _load(path: Path, components: Components | None) -> Adapter:
    file, naming = Tensors.read(path), Naming(path, components)
    names = [match[1] for key in file.unused if (match := _KEY.fullmatch(key))]
    layers = resolve(naming, [name for name in names if "." not in name])
    for name in names:
        if "." in name:
            component, _, module = name.partition(".")
            layers[name] = naming.dotted(component, module)
    factors: dict[str, HadamardFactors] = {}
    for name, layer in layers.items():
        alpha = file.take_number(f"{name}.alpha")
        factors |= read_hadamard(file, naming, name, layer, partial(_scaling, alpha))
    file.require_all_used("LoHa")
    file.require_layers(factors)
    return build_loha(path, factors, file.own_facts())


def _scaling(alpha: float | None, rank: int) -> float:
    return 1.0 if alpha is None else alpha / rank


def _save(adapter: Adapter, path: Path, dtype: torch.dtype | None) -> None:
    rank, scaling = adapter.config.rank, adapter.config.scaling  # type: ignore[attr-defined]
    two_encoders = has_two_encoders(adapter)
    tensors: dict[str, Tensor] = {}
    for layer, params in adapter.values.items():
        name = flattened_name(layer, two_encoders)
        tensors |= {f"{name}.hada_{key}": value for key, value in params.items()}
        tensors[f"{name}.alpha"] = tensor(float(scaling * rank))
    notes = {**network_notes("lycoris.kohya", rank, scaling * rank, {"algo": "loha"}), **model_notes(adapter)}
    write_tensors(path, tensors, adapter.provenance.facts, dtype, adapter.layers, notes)


LOHA = Format(
    name="loha",
    description="products of low-rank products for LyCORIS and ComfyUI (LoHa)",
    sniff=_sniff,
    load=_load,
    save=_save,
    holds={"loha": frozenset({Kind.LINEAR, Kind.CONV})},
)

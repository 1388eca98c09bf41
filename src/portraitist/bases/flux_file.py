"""Single-file checkpoints of FLUX.1: the transformer, perhaps with autoencoder and text encoders beside it.

A file lacks at least the tokenizers, so the folder of a whole model stands behind its ``@``; what the file has is taken
from it. Every tensor of the transformer is accounted for by the header alone before one is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from portraitist.bases.architectures import build_architecture
from portraitist.bases.families import Flux
from portraitist.bases.flux_layout import is_exchanged, modern_modules
from portraitist.bases.folders import load_folder
from portraitist.bases.pipelines import Pipeline
from portraitist.bases.sources import Fetch, find_source, read_index
from portraitist.errors import BadConfig

Shapes = Mapping[str, tuple[int, ...]]

_MARK = "double_blocks.0.img_attn.qkv.weight"
# ComfyUI's files of whole models have prefixes, the published transformers have none.
_TRANSFORMERS = ("", "model.diffusion_model.")
_PREFIXES = {
    "vae": "vae.",
    "text_encoder": "text_encoders.clip_l.transformer.",
    "text_encoder_2": "text_encoders.t5xxl.transformer.",
}
_LEVEL = "text_model."  # transformers' CLIP has lost it in version 5
_T5_WORDS, _T5_TWIN = "shared.weight", "encoder.embed_tokens.weight"


@dataclass(frozen=True)
class Rows:
    """Where one of diffusers' tensors lies: a tensor of the file, its first row there, how many; halves exchanged?"""

    key: str
    start: int
    count: int
    exchanged: bool


def is_flux(shapes: Shapes) -> bool:
    """Say whether a file holds a FLUX.1 transformer in the original layout."""
    return any(f"{prefix}{_MARK}" in shapes for prefix in _TRANSFORMERS)


def load_flux_file(path: Path, shapes: Shapes, detail: str, dtype: torch.dtype, fetch: Fetch | None = None) -> Pipeline:
    """Load a checkpoint as a diffusers pipeline.

    Args:
        path: A file that `is_flux`.
        shapes: Shapes of its tensors.
        detail: A folder in the diffusers layout, or a hub id, of a FLUX.1 model that has the parts the file lacks.
        dtype: Precision of the weights.
        fetch: Brings a hub model; nothing is downloaded without.

    Raises:
        BadConfig: If there is no such folder, or the file is damaged or of another architecture.
    """
    if not detail:
        raise BadConfig(
            f"{path} holds a FLUX.1 transformer, which needs tokenizers, text encoders and an autoencoder beside it;"
            f" name the folder or hub id of a whole FLUX.1 model: {path}@FOLDER"
        )
    own = [part for part, prefix in _PREFIXES.items() if any(key.startswith(prefix) for key in shapes)]
    rest = find_source(detail, None if fetch is None else partial(fetch, without=["transformer", *own]))
    index = read_index(rest)
    if index["_class_name"] not in Flux.pipelines:
        raise BadConfig(f"{path} is a FLUX.1 transformer, and {detail} holds a {index['_class_name']}")
    given = {"transformer": _load_transformer(path, shapes, rest.path, dtype)}
    given |= {part: _load_part(path, shapes, rest.path, part, dtype) for part in own}
    return load_folder(rest, index, dtype, f"{path}@{detail}", given)


def _load_transformer(path: Path, shapes: Shapes, folder: Path, dtype: torch.dtype) -> nn.Module:
    module = build_architecture(folder, "meta", dtype, ("transformer",))["transformer"]
    wanted = module.state_dict()
    rows = find_rows(path, shapes, wanted)
    weights = {}
    with _opened(path) as file:
        for name, place in rows.items():
            part = file.get_slice(place.key)[place.start : place.start + place.count].to(dtype)
            weights[name] = torch.cat(part.chunk(2)[::-1]) if place.exchanged else part
    module.load_state_dict(weights, assign=True)
    return module


def find_rows(path: Path, shapes: Shapes, wanted: Mapping[str, Tensor]) -> dict[str, Rows]:
    """Find the rows of every tensor of a transformer.

    Raises:
        BadConfig: Naming the first tensor that is missing, of another shape, or nobody's.
    """
    prefix = next(prefix for prefix in _TRANSFORMERS if f"{prefix}{_MARK}" in shapes)
    found: dict[str, Rows] = {}
    for key, shape in shapes.items():
        if not key.startswith(prefix):
            continue
        module, _, kind = key.removeprefix(prefix).rpartition(".")
        names = [f"{part}.{'weight' if kind == 'scale' else kind}" for part in modern_modules(module)]
        if not names or any(name not in wanted for name in names):
            raise BadConfig(
                f"{path} holds {key}, which this FLUX.1 transformer does not have; files in scaled fp8 or of other"
                " sizes are not read: take one in bf16, fp16 or plain fp8"
            )
        counts = [wanted[name].shape[0] for name in names]
        expected = (sum(counts), *wanted[names[0]].shape[1:])
        if shape != expected:
            raise BadConfig(
                f"{path}: {key} has the shape {shape}, not {expected} as in the transformer behind the @; a model for"
                " filling, depth or edges takes more inputs and cannot be taught a subject"
            )
        starts = [sum(counts[:number]) for number in range(len(counts))]
        for name, start, count in zip(names, starts, counts, strict=True):
            found[name] = Rows(key, start, count, is_exchanged(module))
    if missing := sorted(wanted.keys() - found.keys()):
        raise BadConfig(f"{path} lacks {missing[0]} of its transformer; it is incomplete or of another architecture")
    return found


def _load_part(path: Path, shapes: Shapes, folder: Path, part: str, dtype: torch.dtype) -> nn.Module:
    """Load the autoencoder or a text encoder that the file has."""
    prefix = _PREFIXES[part]
    keys = [key for key in shapes if key.startswith(prefix)]
    module = build_architecture(folder, "cpu", dtype, (part,))[part]
    with _opened(path) as file:
        found = {key: file.get_tensor(key).to(dtype) for key in keys}
    if part == "vae":
        from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

        config: Any = module.config
        found = convert_ldm_vae_checkpoint(found, config)
    else:
        found = {key.removeprefix(prefix): value for key, value in found.items()}
    wanted = module.state_dict()
    if part == "text_encoder" and not any(key.startswith(_LEVEL) for key in wanted):
        found = {key.removeprefix(_LEVEL): value for key, value in found.items()}
    if _T5_TWIN in wanted and _T5_WORDS in found:
        found.setdefault(_T5_TWIN, found[_T5_WORDS])
    for key, value in wanted.items():
        there = found.get(key)
        if there is None or there.squeeze().shape != value.squeeze().shape:
            raise BadConfig(f"{path}: {key} of its {part} is missing or of another shape; get the file again")
    module.load_state_dict({key: found[key].reshape(value.shape) for key, value in wanted.items()})
    return module


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise BadConfig(f"{path} cannot be read ({error}); get it again") from error

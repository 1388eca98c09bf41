"""Single-file checkpoints in the original layout of Stable Diffusion 1.x, 2.x and XL; FLUX.1's are in `flux_file`.

A file is held against a published architecture by its header alone - every name and shape, through the conversion of
diffusers on tensors without memory - before diffusers' own loader reads a weight. Nothing is downloaded: configurations
and the tokenizer ship with the package.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from portraitist.bases.architectures import build_architecture, list_architectures, write_architecture
from portraitist.bases.families import find_family
from portraitist.bases.flux_file import is_flux, load_flux_file
from portraitist.bases.pipelines import Pipeline
from portraitist.bases.sources import Fetch, Source, read_index
from portraitist.errors import BadConfig

_INPUT = "model.diffusion_model.input_blocks.0.0.weight"
_LATENT_CHANNELS = 4
_CLIP, _XL_CLIP = "cond_stage_model.transformer.", "conditioner.embedders.0.transformer."
# The level that transformers' CLIP has lost in version 5, so that files written since lack it too.
_LEVEL, _FIRST = "text_model.", "embeddings.token_embedding.weight"
_OPEN_CLIP = "cond_stage_model.model."
_XL_OPEN_CLIP = "conditioner.embedders.1.model."
_SECOND = "sd21"
_XL = "sdxl"
_FLUX = "flux"
# How fine-tunes of XL that predict velocity say so: by tensors without numbers, or in the header ("modelspec").
_VELOCITY_KEY, _ZERO_SNR_KEY = "v_pred", "ztsnr"
_PREDICTION_FACTS = ("modelspec.predict_key", "modelspec.prediction_type")
_VELOCITY_WORDS = ("v", "v_pred", "v_prediction", "v-prediction")
# Told apart by their text encoders.
_ARCHITECTURES = ((_XL_OPEN_CLIP, _XL), (_OPEN_CLIP, _SECOND), (_CLIP, "sd15"))
# What else a file may be, by a part of a tensor's name; the more particular first.
_FOREIGN = (
    (
        "conditioner.embedders.0.model.",
        "the refiner of Stable Diffusion XL, which cannot be taught a subject by itself",
    ),
    ("lora", "a LoRA; give it with --adapter"),
    ("joint_blocks.", "a Stable Diffusion 3 model, which is not supported yet"),
    ("down_blocks.", "one component of a diffusers folder; give the folder above it"),
)

Shapes = Mapping[str, tuple[int, ...]]


def load_single_file(path: Path, detail: str, dtype: torch.dtype, fetch: Fetch | None = None) -> Pipeline:
    """Load a checkpoint as a diffusers pipeline.

    Args:
        path: A ``.safetensors`` file.
        detail: Name of an architecture (``sd21-768``) or a folder with configurations in the diffusers layout; told
            from the file when empty. For FLUX.1 the folder or hub id of a whole model.
        dtype: Precision of the weights.
        fetch: Brings a hub model; nothing is downloaded without.

    Raises:
        BadConfig: If it is damaged, another kind of file, or not of the architecture.
    """
    import diffusers
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    shapes = read_shapes(path)
    if is_flux(shapes):
        return load_flux_file(path, shapes, detail, dtype, fetch)
    with tempfile.TemporaryDirectory(prefix="portraitist-") as temporary:
        folder = Path(detail)
        if not detail or detail in list_architectures():
            folder = Path(temporary)
            write_architecture(detail or recognise(path, shapes, read_facts(path)), folder)
        elif not folder.is_dir():
            known = ", ".join(list_architectures())
            raise BadConfig(f"{detail!r} behind the @ is neither a folder nor an architecture; choose one of {known}")
        pipeline_class = read_index(Source(folder))["_class_name"]
        find_family(pipeline_class, str(folder))
        check_checkpoint(path, shapes, folder)
        try:
            return getattr(diffusers, pipeline_class).from_single_file(
                str(path),
                config=str(folder),
                torch_dtype=dtype,
                local_files_only=True,
                **_flat_text_encoder(path, shapes, folder, dtype),
            )
        except (OSError, ValueError, RuntimeError, SafetensorError, SingleFileComponentError) as error:
            raise BadConfig(f"{path} cannot be loaded ({error}); get it again") from error


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a file's tensors from its header, which is checked against the file's length.

    Raises:
        BadConfig: If it is not a safetensors file, or is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise BadConfig(f"{path} is not a safetensors file, or is damaged ({error}); get it again") from error


def read_facts(path: Path) -> dict[str, str]:
    """Return what a file's header says about it beside its tensors."""
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def recognise(path: Path, shapes: Shapes, facts: Mapping[str, str] = MappingProxyType({})) -> str:
    """Tell the architecture of a checkpoint from its tensors' names, and from what its header says.

    Raises:
        BadConfig: If it is none of those known; says what it seems to be. Also if it is a 2.x model: those that predict
            noise and those that predict velocity have the same tensors.
    """
    if shapes.get(_INPUT, (0, _LATENT_CHANNELS))[1] != _LATENT_CHANNELS:
        raise BadConfig(f"{path} is an inpainting or editing model; use the text-to-image model it was made from")
    if _INPUT in shapes:
        for prefix, name in _ARCHITECTURES:
            if any(key.startswith(prefix) for key in shapes):
                if name == _SECOND:
                    raise BadConfig(
                        f"{path} is a Stable Diffusion 2.x model, and its tensors do not show whether it is for 512 or"
                        f" 768 pixels; write {path}@{_SECOND} (512, noise) or {path}@{_SECOND}-768 (velocity)"
                    )
                return _xl(shapes, facts) if name == _XL else name
    if is_flux(shapes):
        return _FLUX
    for part, words in _FOREIGN:
        if any(part in key for key in shapes):
            raise BadConfig(f"{path} seems to be {words}")
    raise BadConfig(f"{path} is not a checkpoint in the original layout of Stable Diffusion 1.x, 2.x, XL or FLUX.1")


def _xl(shapes: Shapes, facts: Mapping[str, str]) -> str:
    """Return the architecture of an XL model by what it predicts."""
    said = [facts.get(fact, "").lower() for fact in _PREDICTION_FACTS]
    if _VELOCITY_KEY not in shapes and not any(word in _VELOCITY_WORDS for word in said):
        return _XL
    return f"{_XL}-v-ztsnr" if _ZERO_SNR_KEY in shapes else f"{_XL}-v"


def check_checkpoint(path: Path, shapes: Shapes, folder: Path) -> None:
    """Hold a checkpoint's header against the configurations in a folder: every tensor there, of the right shape.

    Raises:
        BadConfig: Naming the first tensor that does not fit.
    """
    empty = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    for component, module in {**build_architecture(folder), **build_architecture(folder, components=("vae",))}.items():
        try:
            converted = _convert(component, module, empty)
        except (KeyError, IndexError, AttributeError, RuntimeError) as error:
            raise BadConfig(f"{path}: its {component} is incomplete ({error}); get it again") from error
        for key, wanted in module.state_dict().items():
            found = converted.get(key)
            if found is None:
                raise BadConfig(f"{path}: its {component} lacks {key}; it is incomplete or of another architecture")
            if found.shape != wanted.shape and found.squeeze().shape != wanted.squeeze().shape:
                raise BadConfig(
                    f"{path}: {key} of its {component} has the shape {tuple(found.shape)}, not {tuple(wanted.shape)};"
                    " if that is intended, give its configurations: FILE.safetensors@FOLDER"
                )


def _convert(component: str, module: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a component's tensors under their names in diffusers."""
    from diffusers.loaders import single_file_utils as conversion

    config: Any = module.config
    if component == "unet":
        return conversion.convert_ldm_unet_checkpoint(tensors, config)
    if component == "vae":
        return conversion.convert_ldm_vae_checkpoint(tensors, config)
    if component == "text_encoder_2" or any(key.startswith(_OPEN_CLIP) for key in tensors):
        prefix = _XL_OPEN_CLIP if component == "text_encoder_2" else _OPEN_CLIP
        found = conversion.convert_open_clip_checkpoint(module, tensors, prefix=prefix)
    else:
        found = conversion.convert_ldm_clip_checkpoint(tensors)
        found = {_LEVEL + key.removeprefix(_LEVEL): value for key, value in found.items()}
    return _leveled(module, found)


def _leveled(module: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a text encoder's tensors by the names that this version of transformers has for them."""
    if any(key.startswith(_LEVEL) for key in module.state_dict()):
        return tensors
    return {key.removeprefix(_LEVEL): value for key, value in tensors.items()}


def _flat_text_encoder(path: Path, shapes: Shapes, folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    """Return the first text encoder of a file without the level ``text_model``, which diffusers does not recognise."""
    prefix = next((each for each in (_CLIP, _XL_CLIP) if f"{each}{_FIRST}" in shapes), None)
    if prefix is None:
        return {}
    module = build_architecture(folder, "cpu", dtype, ("text_encoder",))["text_encoder"]
    with safe_open(path, framework="pt") as file:
        found = {_LEVEL + key.removeprefix(prefix): file.get_tensor(key) for key in shapes if key.startswith(prefix)}
    module.load_state_dict(_leveled(module, found), strict=False)  # position ids are no weights
    return {"text_encoder": module}

"""Folders in the diffusers layout: every part there, nothing made up, no pickle and no code of theirs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from portraitist.bases.pipelines import Pipeline
from portraitist.bases.sources import Source
from portraitist.errors import BadConfig

_FULL_OR_HALF = ("", "fp16")
# Nothing is downloaded, no pickle is opened, and no code that lies in a folder is run, nor asked about.
_LOCAL: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "trust_remote_code": False}


def load_folder(
    source: Source,
    index: Mapping[str, Any],
    dtype: torch.dtype,
    name: str,
    given: Mapping[str, nn.Module] | None = None,
) -> Pipeline:
    """Load a folder in the diffusers layout; where there are only half-precision copies of the weights, those.

    Args:
        source: Where it is.
        index: Its ``model_index.json``.
        dtype: Precision of the weights.
        name: What the user calls it, for messages.
        given: Parts that come from elsewhere and need not be there.

    Raises:
        BadConfig: If a part is missing or damaged, naming it.
    """
    from diffusers import DiffusionPipeline

    arguments: dict[str, Any] = {**({"safety_checker": None} if "safety_checker" in index else {}), **(given or {})}
    variant = next((each for each in _FULL_OR_HALF if _has_variant(source.path, each)), "")
    for part, classes in index.items():
        if part.startswith("tokenizer") and _is_given(classes) and not _has_vocabulary(source.path / part):
            raise BadConfig(f"base {name!r} is incomplete: its {part} has no vocabulary; {source.advice}")
    try:
        for part, classes in index.items():
            if part.startswith("text_encoder") and part not in arguments and _is_given(classes):
                arguments[part] = _load_text_encoder(source.path / part, classes[1], variant, dtype)
        pipeline = DiffusionPipeline.from_pretrained(
            source.path,
            torch_dtype=dtype,
            variant=variant or None,
            **_LOCAL,
            **arguments,
        )
        for part, module in pipeline.components.items():
            if isinstance(module, nn.Module) and (missing := [k for k, v in module.state_dict().items() if v.is_meta]):
                raise ValueError(f"its {part} lacks {missing[0]}")
    except (OSError, ValueError, TypeError, AttributeError, ImportError, RuntimeError, SafetensorError) as error:
        if any(source.path.glob("*/*.bin")) and not any(source.path.glob("*/*.safetensors")):
            raise BadConfig(f"base {name!r} holds its weights as pickles (.bin), which are not read") from error
        reason = " ".join(str(error).split())
        raise BadConfig(f"base {name!r} is incomplete or damaged ({reason}); {source.advice}") from error
    return pipeline


def _is_given(classes: Any) -> bool:
    """Say whether a component of an index is there: a library and a class, not two nulls."""
    return isinstance(classes, list) and all(classes)


def _has_vocabulary(folder: Path) -> bool:
    """Say whether a tokenizer is there whole; one without its files would read nonsense."""
    choices = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("spiece.model",))
    return any(all((folder / file).exists() for file in files) for files in choices)


def _load_text_encoder(folder: Path, class_name: str, variant: str, dtype: torch.dtype) -> nn.Module:
    """Load a text encoder; transformers alone would make up what its file lacks.

    Raises:
        ValueError: If a tensor is missing, or of another shape than its configuration says.
    """
    import transformers

    has_variant = bool(variant) and any(folder.glob(f"*.{variant}*"))
    model, found = getattr(transformers, class_name).from_pretrained(
        folder,
        dtype=dtype,
        variant=variant if has_variant else None,
        **_LOCAL,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    if missing := sorted(found["missing_keys"]):
        raise ValueError(f"its {folder.name} lacks {missing[0]}")
    for key, there, wanted in found["mismatched_keys"]:
        raise ValueError(f"{key} of its {folder.name} has the shape {tuple(there)}, not {tuple(wanted)}")
    return model  # type: ignore[no-any-return]


def _has_variant(folder: Path, variant: str) -> bool:
    """Say whether the denoiser's weights are there in a variant."""
    stem = f"diffusion_pytorch_model{'.' if variant else ''}{variant}"
    names = (
        f"{stem}.safetensors",
        f"{stem}.safetensors.index.json",
        f"diffusion_pytorch_model.safetensors.index.{variant}.json",
    )
    return any((folder / part / name).exists() for part in ("unet", "transformer") for name in names)

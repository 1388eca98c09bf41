"""Encoders in the layouts of transformers, timm and open_clip."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from portraitist.errors import BadConfig, MissingExtra
from portraitist.evaluation.encoders.encoder import Weights
from portraitist.evaluation.encoders.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Preprocessing,
    from_processor,
    three,
)


@dataclass(frozen=True)
class ClipEncoder(Weights):
    """A `CLIPModel` of transformers: projected embeddings of pictures and texts."""

    model: Any
    tokenizer: Any

    def embed_pictures(self, pixels: Tensor) -> Tensor:
        """Return projected embeddings ``[n, d]``."""
        pooled = self.model.vision_model(pixel_values=pixels).pooler_output
        return self.model.visual_projection(pooled)

    def embed_places(self, pixels: Tensor) -> Tensor:
        """Return the vision transformer's last states, ``[n, 1 + patches, width]``."""
        return self.model.vision_model(pixel_values=pixels).last_hidden_state

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return projected embeddings ``[n, d]``; texts are cut at the model's length."""
        tokens = self.tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
        pooled = self.model.text_model(input_ids=tokens.input_ids.to(self.device)).pooler_output
        return self.model.text_projection(pooled)


@dataclass(frozen=True)
class ClassTokenEncoder(Weights):
    """A vision transformer of transformers (DINO, DINOv2): the class token after the last normalisation."""

    model: Any

    def embed_pictures(self, pixels: Tensor) -> Tensor:
        """Return class tokens ``[n, d]``."""
        return self.model(pixel_values=pixels).last_hidden_state[:, 0]

    def embed_places(self, pixels: Tensor) -> Tensor:
        """Return the last states, ``[n, 1 + patches, width]``."""
        return self.model(pixel_values=pixels).last_hidden_state


@dataclass(frozen=True)
class TimmEncoder(Weights):
    """A model of timm without its classifier."""

    model: nn.Module

    def embed_pictures(self, pixels: Tensor) -> Tensor:
        """Return pooled features ``[n, d]``."""
        return self.model(pixels)


@dataclass(frozen=True)
class OpenClipEncoder(Weights):
    """A CLIP of open_clip."""

    model: Any
    tokenizer: Any

    def embed_pictures(self, pixels: Tensor) -> Tensor:
        """Return projected embeddings ``[n, d]``."""
        return self.model.encode_image(pixels)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return projected embeddings ``[n, d]``."""
        return self.model.encode_text(self.tokenizer(list(texts)).to(self.device))


# Nothing is downloaded, no pickle is opened, and no code that lies in a folder is run, nor asked about.
_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
# Vision transformers whose class token is the embedding.
_CLASS_TOKEN = {"vit", "dinov2", "dinov2_with_registers", "dinov3_vit"}


def load_transformers(name: str, folder: Path, revision: str, device: torch.device) -> ClipEncoder | ClassTokenEncoder:
    """Load a model in the layout of transformers.

    Raises:
        BadConfig: If it is of a kind that is not known to be an encoder, or is incomplete.
    """
    from transformers import AutoModel, AutoTokenizer

    kind = read_json(folder, "config.json", name).get("model_type")
    if kind not in {"clip", *_CLASS_TOKEN}:
        raise BadConfig(f"{name} is a model of kind {kind!r}; encoders can be: clip, {', '.join(sorted(_CLASS_TOKEN))}")
    preprocessing = from_processor(read_json(folder, "preprocessor_config.json", name), str(kind), name)
    try:
        model = AutoModel.from_pretrained(folder, dtype=torch.float32, **_LOCAL).to(device).eval()
        if kind == "clip":
            tokenizer = AutoTokenizer.from_pretrained(folder, **_LOCAL)
            return ClipEncoder(name, revision, preprocessing, device, model, tokenizer)
    except (OSError, ValueError) as error:
        raise BadConfig(f"the encoder {name} in {folder} is incomplete or damaged ({error}); fetch it again") from error
    return ClassTokenEncoder(name, revision, preprocessing, device, model)


def load_timm(name: str, folder: Path, revision: str, device: torch.device) -> TimmEncoder:
    """Load a model that timm put on the hub: ``config.json`` with an architecture, ``model.safetensors``.

    Raises:
        MissingExtra: If timm is not installed.
        BadConfig: If it is incomplete or damaged, or its pictures are prepared in a way that is not known here.
    """
    try:
        import timm
    except ImportError as error:
        raise MissingExtra("timm", "timm") from error
    config = read_json(folder, "config.json", name)
    try:
        preprocessing = _timm_preprocessing(config["pretrained_cfg"], name)
        settings = {**config.get("model_args", {}), "num_classes": 0}
        model = timm.create_model(config["architecture"], pretrained=False, **settings)
        weights = load_file(folder / "model.safetensors")
        # Without a classifier the model has fewer weights than the file.
        model.load_state_dict({key: weights[key] for key in model.state_dict()})
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, SafetensorError) as error:
        raise _damaged(name, folder, error) from error
    return TimmEncoder(name, revision, preprocessing, device, model.to(device).eval())


def _timm_preprocessing(config: dict[str, Any], name: str) -> Preprocessing:
    share, mode = float(config.get("crop_pct", 0.875)), config.get("crop_mode", "center")
    if mode != "center" and (mode, share) != ("squash", 1):
        raise BadConfig(
            f"{name} expects pictures cropped by {mode!r} to {share}, which is not supported; give another encoder"
        )
    size = int(config["input_size"][-1])
    shorter = int(size / share) if mode == "center" else None
    mean, std = three(config.get("mean", IMAGENET_MEAN)), three(config.get("std", IMAGENET_STD))
    return Preprocessing(size, shorter, str(config.get("interpolation", "bicubic")), mean, std)


def load_open_clip(name: str, folder: Path, revision: str, device: torch.device) -> OpenClipEncoder:
    """Load a model that open_clip put on the hub, from its files here.

    Raises:
        MissingExtra: If open_clip is not installed.
        BadConfig: If it is incomplete or damaged, or its pictures are prepared in a way that is not known here.
    """
    try:
        import open_clip
    except ImportError as error:
        raise MissingExtra("open-clip", "open_clip_torch") from error
    read_json(folder, "open_clip_config.json", name)
    try:
        model = open_clip.create_model(f"local-dir:{folder}", device=device).eval()
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, SafetensorError) as error:
        raise _damaged(name, folder, error) from error
    preprocessing = _open_clip_preprocessing(open_clip.get_model_preprocess_cfg(model), name)
    return OpenClipEncoder(name, revision, preprocessing, device, model, tokenizer)


def _open_clip_preprocessing(config: dict[str, Any], name: str) -> Preprocessing:
    mode = config["resize_mode"]
    if mode not in {"shortest", "squash"}:
        raise BadConfig(f"{name} expects pictures resized by {mode!r}, which is not supported; give another encoder")
    # A number, or one for each side.
    size = config["size"] if isinstance(config["size"], int) else int(config["size"][0])
    resample = "bilinear" if config["interpolation"] == "bilinear" else "bicubic"
    shorter = size if mode == "shortest" else None
    return Preprocessing(size, shorter, resample, three(config["mean"]), three(config["std"]))


def _damaged(name: str, folder: Path, error: Exception) -> BadConfig:
    said = " ".join(str(error).split())[:200]
    return BadConfig(f"the encoder {name} in {folder} is incomplete or damaged ({said}); fetch it again")


def read_json(folder: Path, file: str, name: str) -> dict[str, Any]:
    """Read a JSON file of an encoder.

    Raises:
        BadConfig: If it is not there or not JSON.
    """
    try:
        content = json.loads((folder / file).read_text())
    except (OSError, ValueError) as error:
        raise BadConfig(f"the encoder {name} has no readable {file} in {folder}; fetch it again") from error
    if not isinstance(content, dict):
        raise BadConfig(f"{folder / file} is not a mapping; fetch the encoder {name} again")
    return content

"""Loading an encoder by name: what its files are decides how."""

from pathlib import Path

import torch

from portraitist.errors import BadConfig
from portraitist.evaluation.encoders import efficientnet, small
from portraitist.evaluation.encoders.encoder import Encoder
from portraitist.evaluation.encoders.hub import load_open_clip, load_timm, load_transformers, read_json
from portraitist.evaluation.encoders.locating import locate, revision
from portraitist.evaluation.encoders.lpips import load_lpips
from portraitist.evaluation.encoders.onnx import load_onnx
from portraitist.evaluation.encoders.preprocessing import Preprocessing


def load_encoder(name: str, device: str | torch.device = "cpu", preprocessing: Preprocessing | None = None) -> Encoder:
    """Load an encoder for pictures; nothing is downloaded.

    Args:
        name: A built-in name (``toyland-clip``, ``toyland-dino``, ``toyland-identity``); ``efficientnet-lite0``, which
            ships in a package; a hub id that was fetched
            before, or a folder, of transformers (CLIP, DINO, DINOv2), timm or open_clip; an ``.onnx`` file; the weights
            of LPIPS as ``.safetensors``.
        device: Where to put it.
        preprocessing: Of an ``.onnx`` file that is not known by its name or input.

    Raises:
        BadConfig: If it is not on this machine (with the command that fetches it), or no encoder.
        MissingExtra: If a package is needed that is not installed.
    """
    place = torch.device(device)
    if name == efficientnet.NAME:
        return efficientnet.load_efficientnet(place)
    path = locate(name)
    if path.suffix == ".onnx":
        return load_onnx(name, path, revision(path), preprocessing)
    if path.suffix == ".safetensors":
        return load_lpips(name, path, revision(path), place)
    if path.is_file():
        raise BadConfig(f"{name} is not an encoder; give a folder, an .onnx file or the .safetensors of LPIPS")
    return _load_folder(name, path, place)


def _load_folder(name: str, folder: Path, device: torch.device) -> Encoder:
    if (folder / "open_clip_config.json").exists() and not (folder / "preprocessor_config.json").exists():
        return load_open_clip(name, folder, revision(folder), device)
    config = read_json(folder, "config.json", name)
    if config.get("kind") == small.KIND:
        return small.load_small(name, folder, revision(folder), device)
    if "architecture" in config and "pretrained_cfg" in config:
        return load_timm(name, folder, revision(folder), device)
    return load_transformers(name, folder, revision(folder), device)

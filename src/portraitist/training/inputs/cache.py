"""Tensors that can be made again, kept on disk under a hash of what they were made from."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from portraitist.errors import UnwritableFolder
from portraitist.files import cache_folder, write_aside

Tensors = dict[str, Tensor]


def content_key(*parts: str | bytes | Image.Image) -> str:
    """Return a hash of texts, bytes and pictures (their pixels, not their files)."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, Image.Image):
            part = f"{part.mode}{part.size}".encode() + part.tobytes()
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def cached(kind: str, key: str, make: Callable[[], Tensors]) -> Tensors:
    """Return tensors from the cache, made and kept when they are not there or damaged.

    Args:
        kind: Folder of the cache, e.g. ``latents``.
        key: Hash of everything the tensors depend on.
        make: Makes them.

    Raises:
        UnwritableFolder: If they cannot be kept, as when the disk is full.
    """
    path = _path(kind, key)
    if path.exists():
        try:
            return load_file(path)
        except (SafetensorError, OSError):
            path.unlink(missing_ok=True)
    # Cloned, as tensors expanded from one row share memory, which a file cannot hold.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in make().items()}
    try:
        with write_aside(path) as temporary:
            save_file(tensors, temporary)
    except (SafetensorError, OSError) as error:
        raise UnwritableFolder(
            f"the cache {path} cannot be written ({error}); make room, or set $PORTRAITIST_CACHE to another folder"
        ) from error
    return tensors


def to_device(tensors: Tensors, device: torch.device) -> Tensors:
    """Return tensors on a device."""
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def _path(kind: str, key: str) -> Path:
    return cache_folder() / kind / f"{key}.safetensors"

"""What can be made again, kept on disk under a hash of what it was made from; nothing there is believed unchecked.

Every file carries a checksum over its content and its key. One that does not match is made again, with one line; so is
one without, as earlier versions wrote them.
"""

import hashlib
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from portraitist.files import cache_folder, write_aside

Tensors = dict[str, Tensor]
_CHECKSUM = "checksum"


def content_key(*parts: str | bytes | Image.Image) -> str:
    """Return a hash of texts, bytes and pictures (their pixels, not their files)."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, Image.Image):
            part = f"{part.mode}{part.size}".encode() + part.tobytes()
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def checksum(tensors: Mapping[str, Tensor], *texts: str) -> str:
    """Return a hash of tensors on the CPU, with their names, shapes and precisions, and of texts beside them."""
    digest = hashlib.blake2b(content_key(*texts).encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(content_key(name, f"{tensor.dtype} {tuple(tensor.shape)}").encode())
        if tensor.numel():
            flat = tensor.detach().contiguous().as_strided((tensor.numel(),), (1,))
            digest.update(flat.view(torch.uint8).numpy().data)
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
    known = recall(kind, key)
    return keep(kind, key, make()) if known is None else known


def recall(kind: str, key: str) -> Tensors | None:
    """Return tensors from the cache; None if they are not there, or not as they were written."""
    path = cache_path(kind, key)
    try:
        if not path.is_file():
            return None
        with safe_open(path, framework="pt") as file:
            noted = (file.metadata() or {}).get(_CHECKSUM)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError):
        noted, tensors = "unreadable", {}
    if noted is not None and noted == checksum(tensors, kind, key):
        return tensors
    if noted is not None:
        warn_of_damage(path)
    return None


def keep(kind: str, key: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """Write tensors into the cache, and return them as they are there.

    Raises:
        UnwritableFolder: If they cannot be kept, as when the disk is full.
    """
    # Cloned, as tensors expanded from one row share memory, which a file cannot hold.
    kept = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with write_aside(cache_path(kind, key)) as temporary:
        save_file(kept, temporary, metadata={_CHECKSUM: checksum(kept, kind, key)})
    return kept


def cache_path(kind: str, key: str) -> Path:
    """Return where tensors lie in the cache."""
    return cache_folder() / kind / f"{key}.safetensors"


def warn_of_damage(path: Path) -> None:
    """Say that what was kept is not as it was written."""
    warnings.warn(f"{path} was damaged; it is made again", stacklevel=2)

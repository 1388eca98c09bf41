"""Singular value decompositions of frozen weights: computed once, shared by all adapters, kept on disk.

Only the smaller side's singular vectors are kept (``U`` where a weight has no more rows than columns, else ``V``), and
both vectors of the few singular values that are too small to divide by. That is a fifth of U and V together for a
Stable Diffusion 1.5 UNet.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from portraitist.files import cache_folder, write_aside

# Below this fraction of the largest, a singular value is too small to divide by (float32).
SMALL = 1e-3


@dataclass(frozen=True)
class Spectrum:
    """Part of the thin decomposition ``W = U diag(sigma) V^T`` of a weight as a matrix ``[out, in]``.

    Attributes:
        sigma: Singular values, descending, ``[r]``.
        side: All singular vectors of the smaller side as columns: U ``[out, r]`` if ``left``, else V ``[in, r]``.
        left: Whether `side` is U.
        small_u, small_v: Both vectors of the last, smallest singular values, ``[out, k]`` and ``[in, k]``.
    """

    sigma: Tensor
    side: Tensor
    left: bool
    small_u: Tensor
    small_v: Tensor

    @property
    def large(self) -> int:
        """Return how many singular values one can divide by."""
        return self.sigma.shape[0] - self.small_u.shape[1]

    def to(self, device: torch.device, dtype: torch.dtype) -> "Spectrum":
        """Return a copy on a device, the vectors in a dtype."""
        vectors = [tensor.to(device, dtype) for tensor in (self.side, self.small_u, self.small_v)]
        return Spectrum(self.sigma.to(device), vectors[0], self.left, vectors[1], vectors[2])


_KNOWN = WeakTensorKeyDictionary()


def spectrum_of(weight: Tensor) -> Spectrum:
    """Return the decomposition of a weight, from memory, from disk, or computed and stored."""
    if weight not in _KNOWN:
        path = cache_folder() / "spectra" / f"{_digest(weight)}.safetensors"
        _KNOWN[weight] = (_read(path) or _compute_and_store(weight, path)).to(weight.device, torch.float32)
    return _KNOWN[weight]


@torch.no_grad()
def decompose(weight: Tensor) -> Spectrum:
    """Decompose a weight, computing in float32 whatever its precision."""
    matrix = weight.detach().flatten(1).float()
    left = matrix.shape[0] <= matrix.shape[1]
    # The short factor of a QR decomposition has the same singular values and short-side vectors.
    tall = matrix.T if left else matrix
    q, r = torch.linalg.qr(tall)
    inner, sigma, short = torch.linalg.svd(r)
    side = short.T
    small = int((sigma > SMALL * sigma[0]).sum()) if sigma[0] > 0 else 0
    other = q @ inner[:, small:]
    small_side = side[:, small:]
    u, v = (small_side, other) if left else (other, small_side)
    return Spectrum(sigma, side.contiguous(), left, u.contiguous(), v.contiguous())


def _compute_and_store(weight: Tensor, path: Path) -> Spectrum:
    spectrum = decompose(weight)
    tensors = {"sigma": spectrum.sigma, "side": spectrum.side, "small_u": spectrum.small_u, "small_v": spectrum.small_v}
    with write_aside(path) as temporary:
        save_file(
            {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
            temporary,
            metadata={"left": str(int(spectrum.left))},
        )
    return spectrum


def _read(path: Path) -> Spectrum | None:
    """Read a stored decomposition; a damaged one counts as absent."""
    if not path.exists():
        return None
    try:
        tensors = load_file(path)
        sigma, side = tensors["sigma"], tensors["side"]
        left = tensors["small_u"].shape[0] == side.shape[0] and side.shape[0] <= tensors["small_v"].shape[0]
        return Spectrum(sigma, side, left, tensors["small_u"], tensors["small_v"])
    except (SafetensorError, KeyError, OSError):
        return None


def _digest(weight: Tensor) -> str:
    """Hash a weight's shape, many of its values and its moments; about a memory read, for any precision."""
    flat = weight.detach().flatten()
    positions = torch.linspace(0, flat.numel() - 1, min(4096, flat.numel()), dtype=torch.float64).long()
    values = flat[positions.to(flat.device)].float().cpu().numpy().tobytes()
    moments = f"{flat.double().sum().item():.12e} {flat.float().square().sum(dtype=torch.float64).item():.12e}"
    return hashlib.blake2b(values + f"{tuple(weight.shape)} {moments}".encode(), digest_size=16).hexdigest()

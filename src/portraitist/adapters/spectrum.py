"""Singular value decompositions of frozen weights: computed once, shared by all adapters, kept on disk.

Of a convolution or an oblong matrix only the smaller side's singular vectors are kept (``U`` where a weight has no more
rows than columns, else ``V``), and both vectors of the few singular values that are too small to divide by. Of a matrix
that is nearly square both sides are kept. For a Stable Diffusion 1.5 UNet that is 0.41 of the weights' size; U and V of
everything would be 1.26 of it.
"""

import hashlib
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from portraitist.adapters.layer import has_shape_only
from portraitist.cache import cache_path, keep, recall
from portraitist.errors import UnwritableFolder

# Below this fraction of the largest, a singular value is too small to divide by (float32).
SMALL = 1e-3
# A matrix keeps both sides' vectors up to this ratio of its long side to its short one: the second side saves as much
# arithmetic as the first, and takes this much more memory.
NEARLY_SQUARE = 1.5
# The folder of the cache, and the tensors of a file there.
_KIND, _NAMES = "spectra", ("sigma", "u", "v")
# The weight's memory is summed in this many parts for its hash.
_PARTS = 1024


@dataclass(frozen=True)
class Spectrum:
    """The thin decomposition ``W = U diag(sigma) V^T`` of a weight as a matrix ``[out, in]``, or the part one needs.

    Attributes:
        sigma: Singular values, descending, ``[r]``.
        u, v: Singular vectors as columns, ``[out, r]`` and ``[in, r]``; one of them may hold the last ones only.
    """

    sigma: Tensor
    u: Tensor
    v: Tensor

    @property
    def left(self) -> bool:
        """Say whether all vectors of the left side are there."""
        return self.u.shape[1] == self.sigma.shape[0]

    @property
    def complete(self) -> bool:
        """Say whether all vectors of both sides are there."""
        return self.u.shape[1] == self.v.shape[1]

    @property
    def one_sided(self) -> int:
        """Return how many singular values, from the largest on, have the vectors of one side only."""
        return self.sigma.shape[0] - min(self.u.shape[1], self.v.shape[1])

    @property
    def side(self) -> Tensor:
        """Return the side whose vectors are all there, U if both."""
        return self.u if self.left else self.v

    def both(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Return the vectors on both sides of the singular values from `first` to before `last`."""
        u_start, v_start = (self.sigma.shape[0] - vectors.shape[1] for vectors in (self.u, self.v))
        return self.u[:, first - u_start : last - u_start], self.v[:, first - v_start : last - v_start]

    def to(self, device: torch.device, dtype: torch.dtype) -> "Spectrum":
        """Return a copy on a device, the vectors in a dtype."""
        return Spectrum(self.sigma.to(device), self.u.to(device, dtype), self.v.to(device, dtype))


# By weight: the state it was in, and the decomposition.
_KNOWN = WeakTensorKeyDictionary()


def spectrum_of(weight: Tensor) -> Spectrum:
    """Return the decomposition of a weight, from memory, from disk, or computed and stored.

    Of a weight that has a shape only (on the meta device, or fake) it has the right shapes, for counting.
    """
    state = _state(weight)
    if weight not in _KNOWN or _KNOWN[weight][0] != state:
        if has_shape_only(weight):
            spectrum = decompose(weight)
        else:
            key = _digest(weight)
            spectrum = (_recall(key) or _compute_and_keep(weight, key)).to(weight.device, torch.float32)
        _KNOWN[weight] = state, spectrum
    return _KNOWN[weight][1]


@torch.no_grad()
def decompose(weight: Tensor) -> Spectrum:
    """Decompose a weight, computing in float32 whatever its precision."""
    matrix = weight.detach().flatten(1).float()
    short, long = sorted(matrix.shape)
    pointwise = matrix.shape[1] == weight.shape[1]
    if pointwise and long <= NEARLY_SQUARE * short:
        u, sigma, vt = torch.linalg.svd(matrix, full_matrices=False)
        return Spectrum(sigma, u.contiguous(), vt.T.contiguous())
    left = matrix.shape[0] <= matrix.shape[1]
    # The short factor of a QR decomposition has the same singular values and short-side vectors.
    tall = matrix.T if left else matrix
    inner, sigma, short_side = torch.linalg.svd(torch.linalg.qr(tall, mode="r").R)
    first = _first_small(sigma)
    side = short_side.T.contiguous()
    # An empty tensor of its own: a slice would keep the whole matrix.
    other = tall.new_empty(len(tall), 0) if first == short else torch.linalg.qr(tall).Q @ inner[:, first:]
    return Spectrum(sigma, side, other) if left else Spectrum(sigma, other, side)


def _first_small(sigma: Tensor) -> int:
    """Return the index of the first singular value that is too small to divide by."""
    if has_shape_only(sigma):
        return sigma.shape[0]
    return int((sigma > SMALL * sigma[0]).sum()) if sigma[0] > 0 else 0


def _compute_and_keep(weight: Tensor, key: str) -> Spectrum:
    spectrum = decompose(weight)
    try:
        keep(_KIND, key, {name: getattr(spectrum, name) for name in _NAMES})
    except UnwritableFolder:
        # Not the error's own text: one warning for all weights.
        warnings.warn(
            f"decompositions cannot be stored in {cache_path(_KIND, key).parent} and will be computed again;"
            " set $PORTRAITIST_CACHE to a writable folder with enough room",
            stacklevel=2,
        )
    return spectrum


def _recall(key: str) -> Spectrum | None:
    known = recall(_KIND, key)
    return None if known is None else Spectrum(**known)


def _state(weight: Tensor) -> tuple[object, ...]:
    """Return what tells a weight that was changed in place: where it is, how often it was written, some of its values.

    Writing through ``.data`` is not counted by torch, hence the values.
    """
    if has_shape_only(weight):
        return ()
    version = 0 if weight.is_inference() else weight._version
    return weight.device, weight.dtype, version, _sample(weight.detach().flatten())


def _sample(flat: Tensor) -> bytes:
    """Return up to 4096 of a tensor's values, evenly spread."""
    positions = torch.linspace(0, flat.numel() - 1, min(4096, flat.numel()), dtype=torch.float64).long()
    return flat[positions.to(flat.device)].float().cpu().numpy().tobytes()


def _digest(weight: Tensor) -> str:
    """Hash a weight's shape, many of its values and the exact sums of the parts of its memory; about a memory read."""
    flat = weight.detach().flatten()
    values = _sample(flat)
    # Sums of integers do not depend on the order of summation, hence not on device and threads.
    part = _PARTS * 8 // flat.element_size()
    body, rest = flat[: flat.numel() // part * part], flat[flat.numel() // part * part :]
    sums = body.clone() if body.storage_offset() else body
    sums = sums.view(torch.int64).view(_PARTS, -1).sum(1)
    exact = sums.cpu().numpy().tobytes() + rest.double().cpu().numpy().tobytes()
    return hashlib.blake2b(values + exact + f"{tuple(weight.shape)}".encode(), digest_size=16).hexdigest()

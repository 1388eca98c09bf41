"""Singular value decompositions of frozen weights: computed once, shared by all adapters, kept on disk.

Of a convolution or an oblong matrix only the smaller side's singular vectors are kept (``U`` where a weight has no more
rows than columns, else ``V``), and both vectors of the few singular values that are too small to divide by. Of a matrix
that is nearly square both sides are kept. For a Stable Diffusion 1.5 UNet that is 0.41 of the weights' size; U and V of
everything would be 1.26 of it.
"""

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
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
# Numbers of the weights that are decomposed together: 256 MiB in float64.
_BATCH = 2**25


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


def spectra_of(weights: Sequence[Tensor]) -> list[Spectrum]:
    """Return the decompositions of weights, from memory, from disk, or computed and stored.

    Those of one shape are computed together where a device gains by it. Of a weight that has a shape only (on the meta
    device, or fake) it has the right shapes, for counting.
    """
    samples = _samples([weight for weight in weights if not has_shape_only(weight)])
    states = [_state(weight, samples) for weight in weights]
    fresh = [
        weight
        for weight, state in zip(weights, states, strict=True)
        if weight not in _KNOWN or _KNOWN[weight][0] != state
    ]
    found = dict(zip(map(id, fresh), _find(fresh, samples), strict=True))
    for weight, state in zip(weights, states, strict=True):
        if id(weight) in found:
            _KNOWN[weight] = state, found[id(weight)]
    return [_KNOWN[weight][1] for weight in weights]


def _find(weights: Sequence[Tensor], samples: Mapping[int, bytes]) -> list[Spectrum]:
    """Return decompositions from disk, and compute and store the others; samples are those of `_samples`."""
    found: dict[int, Spectrum] = {}
    different = list({id(weight): weight for weight in weights}.values())
    keys = _digests([weight for weight in different if not has_shape_only(weight)], samples)
    for weight in different:
        if has_shape_only(weight):
            found[id(weight)] = decompose(weight)
        elif (known := _recall(keys[id(weight)])) is not None:
            found[id(weight)] = known
    for batch in _batches([weight for weight in different if id(weight) not in found]):
        for weight, spectrum in zip(batch, _decompose_batch(batch), strict=True):
            found[id(weight)] = spectrum
            _keep(spectrum, keys[id(weight)])
    return [
        spectrum if has_shape_only(weight) else spectrum.to(weight.device, torch.float32)
        for weight in weights
        for spectrum in [found[id(weight)]]
    ]


def _batches(weights: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield weights of one shape on one device, as many at once as are worked on together."""
    alike: dict[tuple[object, ...], list[Tensor]] = {}
    for weight in weights:
        alike.setdefault((weight.shape, weight.device), []).append(weight)
    for same in alike.values():
        count = max(1, _BATCH // same[0].numel()) if _works_in_batches(same[0].device) else 1
        for start in range(0, len(same), count):
            yield same[start : start + count]


def _works_in_batches(device: torch.device) -> bool:
    """Say whether a device decomposes several matrices at once, by their eigenvectors."""
    return device.type == "cuda"


def _decompose_batch(weights: Sequence[Tensor]) -> list[Spectrum]:
    if _works_in_batches(weights[0].device):
        return decompose_by_eigenvectors(weights)
    return [decompose(weight) for weight in weights]


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


@torch.no_grad()
def decompose_by_eigenvectors(weights: Sequence[Tensor]) -> list[Spectrum]:
    """Decompose weights of one shape together, by the eigenvectors of ``W W^T`` (or of ``W^T W``) in float64.

    For GPUs, whose libraries find singular values by sweeps over one matrix after the other, and eigenvectors of a
    batch directly. The square costs half of the digits, which float64 has to spare: what is found is exact to float32.
    """
    shape = weights[0].shape
    matrices = torch.stack([weight.detach().flatten(1) for weight in weights]).double()
    rows, columns = matrices.shape[1:]
    short, long = sorted((rows, columns))
    complete = columns == shape[1] and long <= NEARLY_SQUARE * short
    left = rows <= columns
    tall = matrices.mT if left else matrices
    sides = torch.linalg.eigh(tall.mT @ tall).eigenvectors
    sigmas, order = torch.linalg.vector_norm(tall @ sides, dim=-2).sort(descending=True)
    sides = sides.gather(2, order[:, None].expand_as(sides))
    large = (sigmas > SMALL * sigmas[:, :1]).sum(1).tolist()  # the one number of each that the program waits for
    found = []
    for matrix, side, sigma, count in zip(tall, sides, sigmas, large, strict=True):
        first = 0 if complete else count
        other = _other_side(matrix @ side)[:, first:] if first < short else matrix.new_empty(long, 0)
        one, two = (each.float().clone(memory_format=torch.contiguous_format) for each in (side, other))
        found.append(Spectrum(sigma.float(), one, two) if left else Spectrum(sigma.float(), two, one))
    return found


def _other_side(image: Tensor) -> Tensor:
    """Return the directions of orthogonal columns; for columns of nothing some that are at right angles to them."""
    q, r = torch.linalg.qr(image)
    return q * torch.where(r.diagonal() < 0, -1.0, 1.0)


def _first_small(sigma: Tensor) -> int:
    """Return the index of the first singular value that is too small to divide by."""
    if has_shape_only(sigma):
        return sigma.shape[0]
    return int((sigma > SMALL * sigma[0]).sum()) if sigma[0] > 0 else 0


def _keep(spectrum: Spectrum, key: str) -> None:
    try:
        keep(_KIND, key, {name: getattr(spectrum, name) for name in _NAMES})
    except UnwritableFolder:
        # Not the error's own text: one warning for all weights.
        warnings.warn(
            f"decompositions cannot be stored in {cache_path(_KIND, key).parent} and will be computed again;"
            " set $PORTRAITIST_CACHE to a writable folder with enough room",
            stacklevel=2,
        )


def _recall(key: str) -> Spectrum | None:
    known = recall(_KIND, key)
    return None if known is None else Spectrum(**known)


def _state(weight: Tensor, samples: Mapping[int, bytes]) -> tuple[object, ...]:
    """Return what tells a weight that was changed in place: where it is, how often written, some of its values.

    Writing through ``.data`` is not counted by torch, hence the values.
    """
    if has_shape_only(weight):
        return ()
    version = 0 if weight.is_inference() else weight._version
    return weight.device, weight.dtype, version, samples[id(weight)]


def _samples(weights: Sequence[Tensor]) -> dict[int, bytes]:
    """Return up to 4096 values of each weight, evenly spread."""
    chosen = []
    for weight in weights:
        flat = weight.detach().flatten()
        positions = torch.linspace(0, flat.numel() - 1, min(4096, flat.numel()), dtype=torch.float64).long()
        chosen.append(flat[positions.to(flat.device, non_blocking=True)].float())
    return _read(weights, chosen)


def _digests(weights: Sequence[Tensor], samples: Mapping[int, bytes]) -> dict[int, str]:
    """Hash weights: shape, many values and the exact sums of the parts of their memory; about a memory read."""
    sums, rests = [], []
    for weight in weights:
        flat = weight.detach().flatten()
        # Sums of integers do not depend on the order of summation, hence not on device and threads.
        part = _PARTS * 8 // flat.element_size()
        body, rest = flat[: flat.numel() // part * part], flat[flat.numel() // part * part :]
        whole = body.clone() if body.storage_offset() else body
        sums.append(whole.view(torch.int64).view(_PARTS, -1).sum(1))
        rests.append(rest.double())
    exact, left = _read(weights, sums), _read(weights, rests)
    return {
        id(weight): hashlib.blake2b(
            samples[id(weight)] + exact[id(weight)] + left[id(weight)] + f"{tuple(weight.shape)}".encode(),
            digest_size=16,
        ).hexdigest()
        for weight in weights
    }


def _read(weights: Sequence[Tensor], of_each: Sequence[Tensor]) -> dict[int, bytes]:
    """Bring what was computed of each weight over from its device, all at once, as bytes."""
    read: dict[int, bytes] = {}
    for device in {each.device for each in of_each}:
        here = [(weight, each) for weight, each in zip(weights, of_each, strict=True) if each.device == device]
        together = torch.cat([each for _, each in here]).cpu()
        parts = together.split([each.numel() for _, each in here])
        read |= {id(weight): part.numpy().tobytes() for (weight, _), part in zip(here, parts, strict=True)}
    return read

"""The canonical form of a LoRA: of all factors B, A with one product, those of its singular value decomposition.

``B M`` and ``M^-1 A`` say the same change for every invertible M, so that factors of two LoRAs can be compared only
after one was chosen (weights2weights, arXiv 2406.09413; LoRA Diffusion, arXiv 2412.02352). Here it is ``U sqrt(S)`` and
``sqrt(S) V^T`` of the change ``B A = U S V^T``, with the largest entry of every column of U positive. Changes with
nearly equal singular values have no steady form: their directions mix and swap.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def canonical(up: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """Return the canonical factors of changes, with the same products.

    Decomposed are the two factors and the small core between them, never the product; in double precision.

    Args:
        up: B, ``[.., out, rank]``.
        down: A, ``[.., rank, in]``.

    Returns:
        Factors of the same shapes and dtype; the rank's components in the order of their singular values.
    """
    left, sigma, right = singular(up, down)
    signs = left.gather(-2, left.abs().argmax(-2, keepdim=True)).sign()
    root = sigma.sqrt().unsqueeze(-2)
    rank = up.shape[-1]
    new_up, new_down = left * signs * root, (right * signs * root).transpose(-2, -1)
    missing = rank - new_up.shape[-1]
    return F.pad(new_up, (0, missing)).to(up.dtype), F.pad(new_down, (0, 0, 0, missing)).to(down.dtype)


def singular(up: Tensor, down: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Decompose the changes ``up @ down`` as ``U diag(sigma) V^T``, in double precision.

    Returns:
        U ``[.., out, k]``, sigma ``[.., k]`` in descending order, and V ``[.., in, k]``; k is the rank, or less where a
        side of the change is shorter.
    """
    q_up, r_up = torch.linalg.qr(up.double())
    q_down, r_down = torch.linalg.qr(down.double().transpose(-2, -1))
    inner, sigma, other = torch.linalg.svd(r_up @ r_down.transpose(-2, -1), full_matrices=False)
    return q_up @ inner, sigma, q_down @ other.transpose(-2, -1)

"""The Frechet distance of two sets of features (FID, arXiv 1706.08500)."""

import numpy as np
from torch import Tensor

from portraitist.errors import BadConfig


def frechet_distance(generated: Tensor, real: Tensor) -> float:
    """Return ``|m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))`` of the Gaussians through two sets of features.

    Small sets give large values: FID is only comparable between sets of the same size.

    Args:
        generated: Features ``[m, d]``.
        real: Features ``[n, d]``.

    Raises:
        BadConfig: If a set has fewer than two pictures.
    """
    if min(len(generated), len(real)) < 2:
        raise BadConfig("FID needs two pictures or more on each side")
    one, other = (features.double().cpu().numpy() for features in (generated, real))
    shift = one.mean(0) - other.mean(0)
    first, second = _centred(one), _centred(other)
    # With S = X^T X the trace of the root is the sum of the singular values of X1 X2^T: no root of a matrix is needed.
    root = np.linalg.svd(_cross(first, second), compute_uv=False).sum()
    return float(shift @ shift + (first**2).sum() + (second**2).sum() - 2 * root)


def _centred(features: np.ndarray) -> np.ndarray:
    """Return rows ``X`` with ``X^T X`` the covariance (divided by n - 1)."""
    return np.asarray((features - features.mean(0)) / np.sqrt(len(features) - 1))


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return a matrix with the singular values of ``first @ second.T``, no larger than the features are long."""
    one, other = (
        np.asarray(np.linalg.qr(rows, mode="r")) if len(rows) > rows.shape[1] else rows for rows in (first, second)
    )
    return np.asarray(one @ other.T)

"""Decompositions of weights, one by one and in batches by their eigenvectors, as GPUs do it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from portraitist.adapters import spectrum as module
from portraitist.adapters.spectrum import Spectrum, decompose, decompose_by_eigenvectors, spectra_of


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def deficient(rows: int, columns: int) -> Tensor:
    """Return a matrix with a nothing and a very small one among its singular values."""
    u, sigma, vt = torch.linalg.svd(drawn(rows, columns).double(), full_matrices=False)
    sigma[-1], sigma[-2] = 0, 1e-5 * sigma[0]
    return (u * sigma @ vt).float()


WEIGHTS = {
    "square": drawn(24, 24),
    "nearly square": drawn(24, 32),
    "wide": drawn(16, 64),
    "tall": drawn(64, 16),
    "convolution": drawn(16, 24, 3, 3),
    "convolution of few inputs": drawn(64, 2, 3, 3),
    "deficient square": deficient(24, 24),
    "deficient wide": deficient(16, 64),
    "deficient tall": deficient(64, 16),
    "zero": torch.zeros(16, 64),
}


def rebuilt(weight: Tensor, found: Spectrum) -> Tensor:
    """Return the weight made of what is known by one side and of what is known by both."""
    count = found.one_sided
    u, v = found.both(count, len(found.sigma))
    side, matrix = found.side[:, :count], weight.flatten(1)
    known = side @ (side.T @ matrix) if found.left else matrix @ side @ side.T
    return known + u * found.sigma[count:] @ v.T


@pytest.mark.parametrize("name", WEIGHTS)
def test_eigenvectors_give_the_same_decomposition(name: str) -> None:
    weight = WEIGHTS[name]
    wanted = decompose(weight)
    for found in decompose_by_eigenvectors([weight, weight]):
        assert [each.shape for each in (found.u, found.v)] == [each.shape for each in (wanted.u, wanted.v)]
        torch.testing.assert_close(found.sigma, wanted.sigma, rtol=1e-5, atol=2e-6 * float(wanted.sigma.max()))
        torch.testing.assert_close(rebuilt(weight, found), weight.flatten(1), rtol=0, atol=2e-5)
        for vectors in (found.u, found.v):
            torch.testing.assert_close(vectors.T @ vectors, torch.eye(vectors.shape[1]), rtol=0, atol=1e-5)
            assert vectors.is_contiguous()
            assert vectors.untyped_storage().nbytes() == 4 * vectors.numel()


def test_weights_of_one_shape_are_decomposed_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device is waited for once for everything that is read, and once for each batch; not once for each weight."""
    monkeypatch.setenv("PORTRAITIST_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "_works_in_batches", lambda device: True)
    weights = [drawn(16, 40, seed=seed) for seed in range(6)] + [drawn(12, 12, seed=seed) for seed in range(6)]
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        found = spectra_of(weights)
    calls = [event.name for event in seen.events()]
    assert calls.count("aten::linalg_eigh") == 2
    assert calls.count("aten::_local_scalar_dense") <= 2
    for weight, spectrum in zip(weights, found, strict=True):
        torch.testing.assert_close(rebuilt(weight, spectrum), weight, rtol=0, atol=2e-5)
        assert spectra_of([weight])[0] is spectrum
    assert len(list((tmp_path / "spectra").iterdir())) == 12


def test_one_weight_given_twice_is_decomposed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTRAITIST_CACHE", str(tmp_path))
    weight = nn.Parameter(drawn(16, 40, seed=9))
    first, second = spectra_of([weight, weight])
    assert first is second
    assert len(list((tmp_path / "spectra").iterdir())) == 1

"""Each metric's arithmetic against an independent implementation."""

import warnings
from itertools import combinations

import numpy as np
import pytest
import scipy.linalg
import torch
from PIL import Image
from scipy.spatial.distance import cdist
from torch import Tensor, nn
from torchmetrics.functional.pairwise import pairwise_cosine_similarity
from torchmetrics.image.fid import FrechetInceptionDistance

from portraitist.errors import BadConfig
from portraitist.evaluation.encoders import PictureNetwork, Preprocessing
from portraitist.evaluation.encoders.small import SmallEncoder
from portraitist.evaluation.metrics import (
    METRICS,
    Embeddings,
    MetricInputs,
    diversity,
    frechet_distance,
    get_metrics,
    needed_roles,
    paired_cosine,
    pairwise_cosine,
    perceptual_distance,
    with_misses,
)
from portraitist.evaluation.metrics import metric as metric_module
from portraitist.evaluation.metrics import registry as registry_module


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def encoder() -> SmallEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = PictureNetwork((8, 16), 12).eval()
    half = (0.5, 0.5, 0.5)
    return SmallEncoder("random", "0", Preprocessing(16, 16, "bicubic", half, half), torch.device("cpu"), network)


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(5)
    return [Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for _ in range(count)]


def test_mean_pairwise_cosine() -> None:
    generated, real = draw(7, 5) * 3, draw(4, 5, seed=1)
    values = pairwise_cosine(generated, real)
    expected = 1 - cdist(generated.numpy(), real.numpy(), "cosine")
    np.testing.assert_allclose(values.numpy(), expected.mean(1))
    torch.testing.assert_close(values.mean(), pairwise_cosine_similarity(generated, real).mean())


def test_cosines_are_raw() -> None:
    one = draw(1, 8)
    assert pairwise_cosine(one, -one).item() == pytest.approx(-1)
    assert paired_cosine(one, 7 * one).item() == pytest.approx(1)


def test_paired_cosine_is_of_each_picture_and_its_own_text() -> None:
    pictures_, texts = draw(6, 5), draw(6, 5, seed=2)
    expected = np.diag(1 - cdist(pictures_.numpy(), texts.numpy(), "cosine"))
    np.testing.assert_allclose(paired_cosine(pictures_, texts).numpy(), expected)


def test_misses_are_left_out_and_counted() -> None:
    mean, zeroed, misses = with_misses(torch.tensor([0.5, 0.7], dtype=torch.float64), 4)
    assert (mean, zeroed, misses) == (pytest.approx(0.6), pytest.approx(0.3), pytest.approx(0.5))


@pytest.mark.parametrize(("generated", "real"), [(40, 60), (5, 60), (6, 4)])
def test_fid_against_scipy(generated: int, real: int) -> None:
    one, other = draw(generated, 12) * torch.linspace(0.5, 2, 12) + 0.3, draw(real, 12, seed=1)
    first, second = np.cov(one.numpy(), rowvar=False), np.cov(other.numpy(), rowvar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few pictures: the product is singular
        root = scipy.linalg.sqrtm(first @ second)
    shift = one.numpy().mean(0) - other.numpy().mean(0)
    expected = shift @ shift + np.trace(first + second - 2 * np.real(root))
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-4)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


class Flat(nn.Module):
    """An extractor that keeps six pixels of a picture, for torchmetrics."""

    num_features = 6

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :6].double()


def test_fid_against_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    real, fake = (torch.from_numpy(rng.integers(0, 256, (30, 3, 4, 4), dtype=np.uint8)) for _ in range(2))
    metric = FrechetInceptionDistance(feature=Flat())
    metric.set_dtype(torch.float64)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    assert frechet_distance(Flat()(fake), Flat()(real)) == pytest.approx(metric.compute().item(), rel=1e-6)


def test_fid_needs_two_pictures() -> None:
    with pytest.raises(BadConfig, match="two pictures"):
        frechet_distance(draw(1, 4), draw(5, 4))


def test_perceptual_distance_position_by_position() -> None:
    shapes = ((2, 3, 4, 5), (2, 6, 2, 2))
    one, other = ([draw(*shape, seed=seed + i) for i, shape in enumerate(shapes)] for seed in (0, 10))
    weights = [draw(3, seed=20).abs(), draw(6, seed=21).abs()]
    expected = np.zeros(2)
    for a, b, weight in zip(one, other, weights, strict=True):
        n, _, height, width = a.shape
        for picture in range(n):
            total = 0.0
            for y in range(height):
                for x in range(width):
                    u, v = a[picture, :, y, x].numpy(), b[picture, :, y, x].numpy()
                    difference = u / np.linalg.norm(u) - v / np.linalg.norm(v)
                    total += float(weight.numpy() @ difference**2)
            expected[picture] += total / (height * width)
    np.testing.assert_allclose(perceptual_distance(one, other, weights).numpy(), expected, rtol=1e-6)
    assert perceptual_distance(one, one, weights).abs().max() < 1e-12


def test_diversity_is_over_pairs_of_one_group() -> None:
    tool, images = encoder(), pictures(5)
    maps = [tool.feature_maps(tool.preprocessing([image])) for image in images]

    def distance(i: int, j: int) -> float:
        return float(perceptual_distance(maps[i], maps[j], tool.channel_weights()))

    with torch.no_grad():
        expected = [distance(0, 2), distance(1, 3), distance(1, 4), distance(3, 4)]
        everything = [distance(i, j) for i, j in combinations(range(5), 2)]
    assert diversity(tool, images, ["a", "b", "a", "b", "b"]) == pytest.approx(expected)
    assert diversity(tool, images, [0] * 5) == pytest.approx(everything)
    assert diversity(tool, images, range(5)) == []


def test_metrics_are_found_by_name() -> None:
    assert [metric.name for metric in get_metrics(["clip_t", "fid", "dino"])] == ["clip_t", "dino"]
    assert needed_roles(["clip_t", "clip_i", "pres", "fid"]) == ["clip", "dino", "inception"]
    assert [name for name, metric in METRICS.items() if not metric.higher_is_better] == ["pres"]
    with pytest.raises(BadConfig, match="did you mean clip_t"):
        get_metrics(["clipt"])


def test_r_precision_counts_pictures_that_are_nearest_to_their_own_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    monkeypatch.setattr(metric_module, "embed_captions", lambda _, captions: texts[: len(captions)])
    monkeypatch.setattr(registry_module, "EmbedsTexts", object)
    made = Embeddings(MetricInputs("one", [], pictures(3), ["a", "b", "b"]), {"clip": encoder()})
    made._made["clip", "pictures"] = torch.tensor([[2.0, 1.0], [0.1, 0.3], [0.4, 0.3]])
    found = METRICS["r_precision"].measure(made)
    assert (found.value, found.per_picture) == (pytest.approx(2 / 3), (1.0, 1.0, 0.0))
    same = Embeddings(MetricInputs("one", [], pictures(2), ["a", "a"]), {"clip": encoder()})
    assert "the same prompt" in METRICS["r_precision"].measure(same).missing

"""The encoders of evaluations: losses by their definitions, views, learning by heart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from portraitist.evaluation.encoders import PictureNetwork
from portraitist.toyland.first.config import ToylandConfig
from portraitist.toyland.first.encoder_stages import differing
from portraitist.toyland.first.encoders import (
    IdentityTask,
    PartLabels,
    ViewsTask,
    arcface_logits,
    identity_accuracy,
    vicreg_terms,
)
from portraitist.toyland.first.world.identities import KINDS
from portraitist.toyland.first.world.portraits import choose_identities, load_portraits, write_portraits
from portraitist.training.loop.loop import Loop, LoopConfig

WHO = choose_identities(8, "train", seed=1)


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    folder = tmp_path_factory.mktemp("portraits")
    write_portraits(folder, 8, 2, "train", seed=1, style="photo")
    return load_portraits(folder)[0]


def network() -> PictureNetwork:
    torch.manual_seed(0)
    return PictureNetwork((16, 24), 16)


def test_arcface_adds_a_margin_to_the_right_angle() -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings, centres = torch.randn(4, 6, generator=generator), torch.randn(3, 6, generator=generator)
    target = torch.tensor([0, 2, 1, 2])
    logits = arcface_logits(embeddings, centres, target, 10.0, 0.3)
    for row in range(4):
        for column in range(3):
            u, v = embeddings[row].double(), centres[column].double()
            angle = torch.arccos(u @ v / u.norm() / v.norm())
            expected = 10 * torch.cos(angle + (0.3 if target[row] == column else 0))
            assert logits[row, column].item() == pytest.approx(expected.item(), abs=1e-4)
    away = arcface_logits(-centres, centres, torch.arange(3), 1.0, 0.3)
    torch.testing.assert_close(away.diagonal(), -torch.ones(3), atol=1e-3, rtol=0)


def test_vicreg_by_its_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(9, 4, generator=generator) * 0.5, torch.randn(9, 4, generator=generator) * 2
    invariance, variance, covariance = vicreg_terms(one, other)
    assert invariance.item() == pytest.approx(float(((one - other) ** 2).mean()))
    hinges = [np.maximum(0, 1 - np.sqrt(view.numpy().var(0, ddof=1) + 1e-4)).mean() for view in (one, other)]
    assert variance.item() == pytest.approx(float(np.mean(hinges)), rel=1e-5)
    total = 0.0
    for view in (one, other):
        matrix = np.cov(view.numpy(), rowvar=False)
        total += (matrix**2).sum() - (np.diag(matrix) ** 2).sum()
    assert covariance.item() == pytest.approx(total / 4, rel=1e-4)


def test_parts_are_labelled_where_a_kind_has_them() -> None:
    parts = PartLabels(WHO)
    assert parts.labels.shape == (8, len(parts.sizes))
    for row, who in zip(parts.labels, WHO, strict=True):
        assert (row >= 0).sum() == 1 + len(who.parts)
    same = [(one == other).all().item() for one in parts.labels for other in parts.labels]
    assert sum(same) == 8
    logits = torch.cat(
        [torch.eye(size)[labels.clamp(min=0)] for size, labels in zip(parts.sizes, parts.labels.T, strict=True)], 1
    )
    assert parts.loss(50 * logits, torch.arange(8)).item() == pytest.approx(0, abs=1e-6)
    assert parts.loss(0 * logits, torch.arange(8)).item() > 1


def test_identities_are_learnt(portraits: np.ndarray, config: ToylandConfig) -> None:
    changes = {"batch_size": 16, "learning_rate": 5e-3, "shift": 1, "margin_steps": 20, "channels": (16, 24)}
    task = IdentityTask(network(), portraits, WHO, config.identity_encoder.model_copy(update=changes))
    before = identity_accuracy(task.network.eval(), portraits)
    Loop(task, LoopConfig(steps=60, schedule="cosine")).run()
    assert identity_accuracy(task.network.eval(), portraits) == 1.0 > before


def test_views_come_together_without_falling_in_one(portraits: np.ndarray, config: ToylandConfig) -> None:
    images = portraits.reshape(16, 64, 64, 3)
    changes = {"batch_size": 12, "learning_rate": 4e-3, "expander": 32}
    task = ViewsTask(network(), images, config.dino_encoder.model_copy(update=changes))
    before = task.step(1000, 0)["loss"].item()
    Loop(task, LoopConfig(steps=20)).run()
    after = task.step(1000, 0)
    assert after["loss"].item() < 0.7 * before
    assert after["variance"].item() < 0.7


def test_steps_depend_on_their_number_alone(portraits: np.ndarray, config: ToylandConfig) -> None:
    images = portraits.reshape(16, 64, 64, 3)
    for task in (
        IdentityTask(network(), portraits, WHO, config.identity_encoder),
        ViewsTask(network(), images, config.dino_encoder),
    ):
        first = task.step(3, 0)["loss"].item()
        assert task.step(4, 0)["loss"].item() != first
        assert task.step(3, 0)["loss"].item() == first


def test_a_whole_unchanged_view_is_the_picture_or_its_mirror(portraits: np.ndarray, config: ToylandConfig) -> None:
    still = config.dino_encoder.model_copy(update={"crop": 1.0, "jitter": 0.0, "blur": 0.0})
    task = ViewsTask(network(), portraits[0], still)
    pixels = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    view = task.view(pixels, 0, "first")
    straight = (view - pixels).abs().amax((1, 2, 3)) < 1e-5
    mirrored = (view - pixels.flip(-1)).abs().amax((1, 2, 3)) < 1e-5
    assert (straight ^ mirrored).all()
    assert straight.any()
    assert mirrored.any()
    other = task.view(pixels, 0, "second")
    assert not torch.allclose(view, other)
    assert F.mse_loss(view, other) > 0


def test_portraits_are_of_different_identities_of_every_kind(portraits: np.ndarray, tmp_path: Path) -> None:
    chosen = choose_identities(12, "test", seed=3)
    assert len({identity.name for identity in chosen}) == 12
    assert {identity.split for identity in chosen} == {"test"}
    assert [sum(identity.kind == kind for identity in chosen) for kind in KINDS] == [3] * 4
    assert portraits.shape == (8, 2, 64, 64, 3)
    assert (portraits[:, 0] != portraits[:, 1]).any((1, 2, 3)).all()
    write_portraits(tmp_path, 8, 2, "train", seed=1, style="photo", workers=2)
    np.testing.assert_array_equal(load_portraits(tmp_path)[0], portraits)


def test_captions_differ_within_each_group() -> None:
    captions = ["a", "b", "a", "c", "a", "a", "b"]
    assert differing(captions, 3).tolist() == [0, 1, 3, 4, 6]

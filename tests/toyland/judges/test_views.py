"""The self-supervised encoder: its loss against the paper's formula, its views, and no labels."""

import torch
from torch.nn import functional as F

from portraitist.evaluation.encoders import PictureNetwork
from portraitist.toyland.judges.config import JudgesConfig
from portraitist.toyland.judges.views import Views, ViewsTask, contrastive_loss
from portraitist.toyland.world.painting import Painter


def test_the_loss_is_the_papers() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(3, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    both = [F.normalize(row, dim=0) for row in (*one, *other)]
    terms = []
    for i in range(6):
        alike = torch.exp(both[i] @ both[(i + 3) % 6] / 0.2)
        everything = sum(torch.exp(both[i] @ both[k] / 0.2) for k in range(6) if k != i)
        terms.append(-torch.log(alike / everything))
    loss, accuracy = contrastive_loss(4 * one, other, 0.2)
    torch.testing.assert_close(loss, torch.stack(terms).mean())
    assert 0 <= float(accuracy) <= 1
    assert float(contrastive_loss(one, one, 0.01)[1]) == 1


def pictures() -> torch.Tensor:
    """Return flat pictures, each of another grey."""
    return torch.linspace(-0.8, 0.8, 8).view(8, 1, 1, 1).expand(8, 3, 32, 32).clone()


def test_views_follow_from_step_and_name(config: JudgesConfig) -> None:
    views = Views(config.dino)
    torch.testing.assert_close(views(pictures(), 1, "first"), views(pictures(), 1, "first"))
    assert not torch.equal(views(pictures(), 1, "first"), views(pictures(), 1, "second"))
    assert not torch.equal(views(pictures(), 1, "first"), views(pictures(), 2, "first"))


def test_the_middle_of_a_view_is_the_pictures_own_and_its_border_anothers(config: JudgesConfig) -> None:
    still = {"crop": 1.0, "turn": 0.0, "jitter": 0.0, "tint": 0.0, "covered": 0.0, "transplanted": 1.0}
    views = Views(config.dino.model_copy(update=still))
    view = views(pictures(), 0, "first")
    own = pictures()[:, :, 0, 0]
    assert float((view[:, :, 17, 16] - own).abs().max()) < 0.02
    corners = view[:, 0, 0, 0]
    assert sorted(round(float(value), 2) for value in corners) == sorted(round(float(value), 2) for value in own[:, 0])
    assert not torch.allclose(corners, own[:, 0], atol=0.05)
    left_alone = Views(config.dino.model_copy(update={**still, "transplanted": 0.0}))(pictures(), 0, "first")
    torch.testing.assert_close(left_alone, pictures())


def test_patches_cover_parts(config: JudgesConfig) -> None:
    still = {"crop": 1.0, "turn": 0.0, "jitter": 0.0, "tint": 0.0, "covered": 1.0, "transplanted": 0.0}
    view = Views(config.dino.model_copy(update=still))(pictures(), 0, "first")
    changed = (view != pictures()).any(1).float().mean((1, 2))
    assert float(changed.min()) > 0
    assert float(changed.max()) < 0.4


def test_a_step_compares_views_of_single_subjects(painter: Painter, config: JudgesConfig) -> None:
    torch.manual_seed(0)
    task = ViewsTask(PictureNetwork((8, 16), 16), painter, config.dino)
    first, again, other = (float(task.step(step, 0)["loss"].detach()) for step in (0, 0, 1))
    assert first == again != other
    names = {name for group in task.groups() for name in group.parameters}
    assert any(name.startswith("projection.") for name in names)
    assert any(name.startswith("network.") for name in names)

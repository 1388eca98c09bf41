"""The identity encoder: ArcFace's margin, labels of parts, and identities drawn anew."""

import numpy as np
import torch

from portraitist.evaluation.encoders import PictureNetwork
from portraitist.toyland.judges.config import JudgesConfig
from portraitist.toyland.judges.identity import IdentityTask, PartLabels, arcface_logits, identity_accuracy
from portraitist.toyland.world.identities import Identity, sample_identity
from portraitist.toyland.world.painting import Painter


def test_the_margin_is_added_to_the_right_angle() -> None:
    angle, margin = 0.7, 0.2
    embedding = torch.tensor([[np.cos(angle), np.sin(angle)]], dtype=torch.float64)
    centres = torch.eye(2, dtype=torch.float64)
    logits = arcface_logits(3 * embedding, 5 * centres, torch.tensor([0]), 16.0, margin)
    expected = torch.tensor([[16 * np.cos(angle + margin), 16 * np.sin(angle)]], dtype=torch.float64)
    torch.testing.assert_close(logits, expected)
    behind = arcface_logits(-centres[:1], centres, torch.tensor([0]), 16.0, margin)
    torch.testing.assert_close(behind[0, 0], torch.tensor(-16.0, dtype=torch.float64))


def test_parts_are_classes_of_their_kind_alone() -> None:
    cats = [Identity("cat", (("coat", coat), ("colour", "grey")), ()) for coat in ("plain", "striped")]
    robot = Identity("robot", (("colour", "red"),), ())
    parts = PartLabels([*cats, robot])
    assert list(parts.choices) == ["cat coat", "cat colour", "kind", "robot colour"]
    assert parts.sizes == [2, 1, 2, 1]
    unknown = Identity("cat", (("coat", "patched"), ("colour", "grey")), ())
    assert parts.labels([cats[1], robot, unknown]).tolist() == [[1, 0, 0, -100], [-100, -100, 1, 0], [-100, 0, 0, -100]]
    loss = parts.loss(torch.zeros(2, 6), parts.labels([cats[0], robot]))
    torch.testing.assert_close(loss, torch.tensor((3 * np.log(2)) / 2, dtype=torch.float32))


def test_a_batch_holds_two_portraits_of_different_identities(painter: Painter, config: JudgesConfig) -> None:
    torch.manual_seed(0)
    task = IdentityTask(PictureNetwork((8, 16), 16), painter, config.identity)
    drawn = task._sample(0)
    assert len(set(drawn)) == config.identity.batch_size
    assert drawn == task._sample(0) != task._sample(1)
    first, again = (float(task.step(4, 0)["loss"].detach()) for _ in range(2))
    assert first == again
    losses = task.step(0, 0)
    assert losses["loss"] == losses["parts"]  # the margin has not come in yet
    assert 0 <= float(losses["accuracy"]) <= 1


def test_half_of_a_batch_are_people(painter: Painter, config: JudgesConfig) -> None:
    settings = config.identity.model_copy(update={"batch_size": 200, "people": 0.5})
    task = IdentityTask(PictureNetwork((8, 16), 16), painter, settings)
    assert 70 < [who.kind for who in task._sample(0)].count("person") < 130


def test_accuracy_is_the_share_of_nearest_portraits_that_are_right() -> None:
    torch.manual_seed(0)
    network = PictureNetwork((8, 16), 16).eval()
    photos = torch.randint(0, 256, (5, 1, 3, 32, 32), dtype=torch.uint8)
    alike = torch.cat([photos, photos], 1)
    assert identity_accuracy(network, alike, 16) == 1.0
    shifted = torch.cat([photos, photos.roll(1, 0)], 1)
    assert identity_accuracy(network, shifted, 16) == 0.0


def test_known_parts_are_all_parts(painter: Painter, config: JudgesConfig) -> None:
    task = IdentityTask(PictureNetwork((8, 16), 16), painter, config.identity)
    rng = np.random.default_rng(1)
    labels = task.parts.labels([sample_identity(rng, "test", "person") for _ in range(200)])
    slots = [slot.startswith("person") or slot == "kind" for slot in task.parts.choices]
    assert (labels[:, torch.tensor(slots)] >= 0).all()

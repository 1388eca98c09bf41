"""The main job with the weights that ship: a cat the base has never seen is learnt, and goes where the prompt says."""

import numpy as np
import pytest
import torch

from portraitist.adapters import Adapter
from portraitist.bases import Base, load_base
from portraitist.bases.examples import get_example
from portraitist.evaluation.encoders import embed_images, load_encoder
from portraitist.generation import Picture, SamplingConfig, generate
from portraitist.toyland.judges.examiner import Examiner
from portraitist.toyland.world.captions import SCENE_PHRASES
from portraitist.training.personalise import train
from portraitist.training.recipes import load_recipe
from portraitist.training.subjects import Subject

pytestmark = pytest.mark.weights
CAT = get_example("cat-1b7ecd")
PLACES = [phrases[0] for scene, phrases in SCENE_PHRASES.items() if scene not in CAT.scenes][:4]
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def base() -> Base:
    return load_base("toyland")


@pytest.fixture(scope="module")
def subject(base: Base) -> Subject:
    return Subject.from_folder(CAT.folder, CAT.class_noun, size=base.family.resolution)


@pytest.fixture(scope="module")
def adapter(base: Base, subject: Subject) -> Adapter:
    recipe = load_recipe("lora", base.name, base.family.name)
    return train(base, subject, recipe)


def pictures(base: Base, who: str, adapter: Adapter | None) -> list[Picture]:
    prompts = [f"a photo of a {who} {place}" for place in PLACES for _ in SEEDS]
    return generate(base, prompts, adapter, seeds=list(SEEDS) * len(PLACES), config=SamplingConfig(steps=15))


@pytest.fixture(scope="module")
def before(base: Base) -> list[Picture]:
    return pictures(base, CAT.class_noun, None)


@pytest.fixture(scope="module")
def after(base: Base, adapter: Adapter) -> list[Picture]:
    return pictures(base, f"sks {CAT.class_noun}", adapter)


@pytest.mark.parametrize(("encoder", "closer"), [("toyland-identity", 0.4), ("toyland-dino", 0.1)])
def test_pictures_come_closer_to_the_subject(
    encoder: str, closer: float, subject: Subject, before: list[Picture], after: list[Picture]
) -> None:
    judge = load_encoder(encoder)
    photos = embed_images(judge, subject.photos)
    near, far = (embed_images(judge, [one.image for one in made]) @ photos.T for made in (after, before))
    assert near.mean() > far.mean() + closer


def test_the_scene_of_the_prompt_is_kept(after: list[Picture]) -> None:
    pixels = np.stack([np.asarray(one.image) for one in after])
    read = Examiner.load().read(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    scenes = [scene for scene, phrases in SCENE_PHRASES.items() if phrases[0] in PLACES]
    right = [answers["scene"] == scene for answers, scene in zip(read, np.repeat(scenes, len(SEEDS)), strict=True)]
    assert sum(right) >= 7  # of 8


def test_the_base_is_as_it_was(base: Base, before: list[Picture], after: list[Picture]) -> None:
    again = pictures(base, CAT.class_noun, None)
    assert [one.image.tobytes() for one in again] == [one.image.tobytes() for one in before]
    assert [one.image.tobytes() for one in again] != [one.image.tobytes() for one in after]

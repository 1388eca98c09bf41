"""The main job with the weights that ship: a cat the base has never seen is learnt, and goes where the prompt says."""

import pytest
import torch

from portraitist.adapters import Adapter
from portraitist.bases import Base, load_base
from portraitist.bases.examples import get_example
from portraitist.evaluation.encoders import EmbedsTexts, embed_captions, embed_images, load_encoder
from portraitist.generation import Picture, SamplingConfig, generate
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
    # Without prior images and in half the steps: less true to the class, good enough to see what is learnt.
    recipe = load_recipe("lora", base.name, base.family.name, overrides={"steps": 120, "prior": "none"})
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


@pytest.mark.parametrize(("encoder", "closer"), [("toyland-identity", 0.15), ("toyland-clip", 0.05)])
def test_pictures_come_closer_to_the_subject(
    encoder: str, closer: float, subject: Subject, before: list[Picture], after: list[Picture]
) -> None:
    judge = load_encoder(encoder)
    photos = embed_images(judge, subject.photos)
    near, far = (embed_images(judge, [one.image for one in made]) @ photos.T for made in (after, before))
    assert near.mean() > far.mean() + closer


def test_the_scene_of_the_prompt_is_kept(after: list[Picture]) -> None:
    judge = load_encoder("toyland-clip")
    assert isinstance(judge, EmbedsTexts)
    captions = embed_captions(judge, [f"a photo of a cat {phrases[0]}" for phrases in SCENE_PHRASES.values()])
    read = (embed_images(judge, [one.image for one in after]) @ captions.T).argmax(1)
    wanted = [list(SCENE_PHRASES).index(scene) for scene in SCENE_PHRASES if SCENE_PHRASES[scene][0] in PLACES]
    right = read == torch.tensor([place for place in wanted for _ in SEEDS])
    assert right.float().mean() >= 0.75


def test_the_base_is_as_it_was(base: Base, before: list[Picture], after: list[Picture]) -> None:
    again = pictures(base, CAT.class_noun, None)
    assert [one.image.tobytes() for one in again] == [one.image.tobytes() for one in before]
    assert [one.image.tobytes() for one in again] != [one.image.tobytes() for one in after]

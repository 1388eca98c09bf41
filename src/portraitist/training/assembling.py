"""From a subject and a recipe to what the loop runs: the task, and what watches it."""

from dataclasses import replace
from pathlib import Path

from PIL import Image

from portraitist.adapters import Adapter
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.photos import list_photos
from portraitist.randomness import numpy_generator
from portraitist.training.dreambooth import DreamBoothTask
from portraitist.training.inputs.latents import Latents, encode, encode_views
from portraitist.training.inputs.priors import prior_counts, prior_images
from portraitist.training.inputs.views import crop_views, make_views, photo_prompt
from portraitist.training.recipes import Recipe
from portraitist.training.subjects import Subject, read_photo
from portraitist.training.watching.fixed_noise import FixedNoiseLoss
from portraitist.training.watching.judging import Awake, Encoders, ScoredPictures
from portraitist.training.watching.watching import Budget, SubjectWatch, rows_of

# With fewer photos every one is needed; a crop is then kept from training instead.
_FEWEST_TO_SPARE_ONE = 4


def split_photos(subject: Subject, recipe: Recipe) -> tuple[list[int], list[int]]:
    """Return which photos are trained on and which are kept from it.

    Raises:
        BadConfig: If none is left to train on.
    """
    count, watch = len(subject.photos), recipe.watch
    if not watch.every:
        return list(range(count)), []
    spared = watch.held_out if watch.held_out is not None else int(count >= _FEWEST_TO_SPARE_ONE)
    if spared >= count:
        raise BadConfig(f"watch.held_out={spared} of {count} photos leaves none to train on; lower it")
    order = [int(index) for index in numpy_generator(recipe.seed, "held out").permutation(count)]
    return sorted(order[spared:]), sorted(order[:spared])


def dreambooth_task(base: Base, adapter: Adapter, subject: Subject, recipe: Recipe) -> DreamBoothTask:
    """Encode a subject's photos, and the class images that the recipe's prior asks for."""
    prompt = subject.prompt(recipe.prompt)
    class_prompt = recipe.class_prompt.replace("{}", subject.class_noun)
    trained, _ = split_photos(subject, recipe)
    views = make_views(subject, recipe, trained, prompt)
    photos = encode_views(base, views, recipe.photos.mask_floor)
    prior = _class_images(base, subject, recipe, class_prompt)
    return DreamBoothTask(base, adapter, recipe, prompt, photos, class_prompt, prior)


def subject_watch(
    base: Base, task: DreamBoothTask, subject: Subject, encoders: Encoders, folder: Path | None, awake: Awake
) -> SubjectWatch:
    """Return what watches a task, as its recipe says."""
    recipe = task.recipe
    _, held_out = split_photos(subject, recipe)
    if held_out:
        plain = recipe.replace({"mirror": False, "photos": {"crops": 0, "buckets": False, "masks": False}})
        views = make_views(subject, plain, held_out, task.prompt)
    else:
        prompts = [photo_prompt(subject, recipe, index, task.prompt) for index in range(len(subject.photos))]
        views = crop_views(subject.photos, recipe.photos.smallest_crop, recipe.seed, prompts)
    pictures = encode_views(base, views, recipe.photos.mask_floor)
    budget = Budget.of(recipe, rows_of(recipe), scores=bool(encoders))
    validate = FixedNoiseLoss(base, recipe, task.prompts, pictures, budget.samples, "validation")
    if not budget.scored:
        return SubjectWatch(recipe, budget, validate, folder=folder)
    scored = recipe.watch.prompts[: budget.prompts]
    judge = ScoredPictures(base, subject, recipe, scored, budget.sampling_steps, encoders, awake)
    return SubjectWatch(recipe, budget, validate, judge, "score" if encoders.are_both else "validation", folder)


def _class_images(base: Base, subject: Subject, recipe: Recipe, class_prompt: str) -> Latents | None:
    """Encode the class images of a prior, given or generated ones, and those without a prompt; None without a prior."""
    if recipe.prior not in ("given", "generated"):
        return None
    given = _given_images(subject, recipe) if recipe.prior == "given" else None
    prompted, unprompted = prior_counts(recipe, None if given is None else len(given))
    images = prior_images(base, class_prompt, prompted, recipe) if given is None else given[:prompted]
    if not unprompted:
        return encode(base, images)
    latents = encode(base, images + prior_images(base, "", unprompted, recipe))
    return replace(latents, prompts=(class_prompt,) * prompted + ("",) * unprompted)


def _given_images(subject: Subject, recipe: Recipe) -> list[Image.Image]:
    """Read the class images of a folder."""
    folder = Path(str(recipe.prior_folder))
    if not folder.is_dir():
        raise BadConfig(f"prior_folder {folder} is not a folder; name one with pictures of a {subject.class_noun}")
    paths = list_photos(folder)[: recipe.prior_images]
    if not paths:
        raise BadConfig(f"prior_folder {folder} contains no pictures; put pictures of a {subject.class_noun} into it")
    return [read_photo(path, subject.photos[0].width) for path in paths]

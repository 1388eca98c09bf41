"""Several subjects in one adapter: joint DreamBooth, with collages and with the Unmix loss where the recipe asks.

Every sample of a step is one subject alone or, with the recipe's probability, two of them in a collage; a class image,
or a collage of two, goes with it where the prior is preserved (SVDiff, arXiv 2303.11305, section 3.3, for any method).
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from portraitist.adapters import Adapter
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.training.blank_adapters import new_adapter
from portraitist.training.fitting import Run
from portraitist.training.inputs.latents import encode
from portraitist.training.loop.loop import Callback, Stop
from portraitist.training.multi_subject.cut_mix import USUAL_PROBABILITY, WORDINGS, pair_prompt
from portraitist.training.multi_subject.task import MultiSubjectTask, collage_words, gather, gather_unprompted
from portraitist.training.multi_subject.unmix import USUAL_WEIGHT, UnmixLoss
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.recipes.recipe import FOR_ONE_SUBJECT
from portraitist.training.subjects import Subject
from portraitist.training.tokens import token_warning
from portraitist.training.watching.judging import sheet_prompts


def train_several(
    base: Base,
    subjects: Sequence[Subject],
    recipe: Recipe | str = "lora",
    *,
    output: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    start: str | Path | Adapter | None = None,
    callbacks: Sequence[Callback] = (),
    stop: Stop | None = None,
) -> Adapter:
    """Teach a base several subjects in one adapter.

    Args:
        base: The frozen base; it is left as found.
        subjects: Two or more, each with a token of its own, all with photos at the base's resolution.
        recipe: A recipe, or a method whose recipe for this base is used. Its ``cut_mix`` and ``unmix_weight`` say
            whether they are shown in collages and kept apart by attention; `with_cut_mix` sets them as is usual.
        output: Adapter file to write. Checkpoints go into the folder ``<output>.run`` beside it until it is written.
        resume: Continue an interrupted run of the same settings.
        overwrite: Replace an adapter file or an interrupted run that is there.
        start: An adapter, or its file, whose values the training starts from; it is of this recipe's method, settings
            and layers. None starts afresh.
        callbacks: Called with the number of completed steps.
        stop: Set from elsewhere, it ends the run after the step in hand with a checkpoint, as Ctrl-C does.

    Returns:
        The trained adapter.

    Raises:
        BadConfig: If the subjects cannot be taught together, before anything is trained; says why.
    """
    if isinstance(recipe, str):
        recipe = load_recipe(recipe, base.name, base.family.name)
    check_subjects(base, subjects)
    _check_recipe(recipe)
    _check_words(recipe, subjects)
    if recipe.cut_mix:
        collage_words(base, recipe, subjects)
    run = Run(
        base,
        recipe,
        partial(new_adapter, base, subjects, recipe),
        output=output,
        resume=resume,
        overwrite=overwrite,
        start=start,
        callbacks=callbacks,
        stop=stop,
    )
    unmix = _unmix_loss(base, recipe, subjects)
    inputs = [gather(base, subject, recipe) for subject in subjects]
    unprompted = gather_unprompted(base, recipe)
    task = MultiSubjectTask(base, run.adapter, recipe, inputs, unmix, run.offload.awake, unprompted)
    description = f"teaching {' and '.join(subject.token for subject in subjects)}"
    return run.fit(task, description, prompts=sheet_prompts(subjects, recipe))


def with_cut_mix(recipe: Recipe, unmix: bool = True) -> Recipe:
    """Return the recipe with collages, and the Unmix loss, at their usual strengths; what it sets itself stays."""
    usual = {"cut_mix": USUAL_PROBABILITY, **({"unmix_weight": USUAL_WEIGHT} if unmix else {})}
    return recipe.replace({name: value for name, value in usual.items() if not getattr(recipe, name)})


def check_subjects(base: Base, subjects: Sequence[Subject]) -> None:
    """Check that subjects can be told apart by their words, and put side by side.

    Raises:
        BadConfig: If they are fewer than two, share a token, have one that is not one token of the base or a word of
            another's class, or photos of different sizes.
    """
    if len(subjects) < 2:
        raise BadConfig(f"joint training takes two or more subjects, not {len(subjects)}; train one without --subject")
    seen: dict[str, Subject] = {}
    for subject in subjects:
        if other := seen.get(subject.token.lower()):
            raise BadConfig(f"{subject.name} and {other.name} have the same token {subject.token!r}; give each its own")
        seen[subject.token.lower()] = subject
        if advice := token_warning(base.pipeline.tokenizer, subject.token):
            raise BadConfig(f"{subject.name}: {advice}; with several subjects, each needs a single token of its own")
    for subject in subjects:
        for other in subjects:
            if other.token.lower() in subject.class_noun.lower().split():
                raise BadConfig(
                    f"the token {other.token!r} of {other.name} is a word of the class {subject.class_noun!r} of"
                    f" {subject.name}; choose a rare word"
                )
    sizes = {photo.size: subject.name for subject in subjects for photo in subject.photos}
    if len(sizes) > 1:
        seen_sizes = ", ".join(f"{width} x {height} ({name})" for (width, height), name in sizes.items())
        raise BadConfig(
            f"photos must all have the same size to be put side by side, not {seen_sizes}; read them all at one size"
        )


def _check_recipe(recipe: Recipe) -> None:
    """Refuse settings that are for one subject, rather than passing over them.

    Raises:
        BadConfig: Naming the setting.
    """
    if recipe.prior not in ("none", "generated"):
        raise BadConfig(f"prior={recipe.prior} works with one subject only; with several, use none or generated")
    recipe.refuse(FOR_ONE_SUBJECT, "works with one subject only")


def _check_words(recipe: Recipe, subjects: Sequence[Subject]) -> None:
    """Refuse tokens that are words of the prompts anyway: which of the two means the subject could not be told.

    Raises:
        BadConfig: Naming the token.
    """
    for wording in WORDINGS:
        prompt = pair_prompt(recipe.prompt, "", "", wording)
        words = re.findall(r"\w+", prompt.lower())
        for subject in subjects:
            if subject.token.lower() in words:
                raise BadConfig(
                    f"the token {subject.token!r} of {subject.name} is a word of the prompts ({' '.join(words)});"
                    " choose a rare word"
                )


def _unmix_loss(base: Base, recipe: Recipe, subjects: Sequence[Subject]) -> UnmixLoss | None:
    """Return the loss that the recipe asks for."""
    if not recipe.unmix_weight:
        return None
    if not recipe.cut_mix:
        raise BadConfig("the Unmix loss needs collages; add some with --cut-mix-unmix or cut_mix=0.6")
    _, channels, height, width = encode(base, subjects[0].photos[:1]).mean.shape
    return UnmixLoss(base, (channels, height, width), recipe.unmix_layers, recipe.unmix_largest_map)

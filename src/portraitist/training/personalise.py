"""The main job: photos and a recipe to an adapter."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from portraitist.adapters import Adapter
from portraitist.bases import Base
from portraitist.training.assembling import dreambooth_task, subject_watch
from portraitist.training.blank_adapters import new_adapter
from portraitist.training.fitting import Run
from portraitist.training.loop.loop import Callback, Stop
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.recipes.recipe import FOR_SEVERAL_SUBJECTS
from portraitist.training.subjects import Subject
from portraitist.training.watching.judging import Encoders, sheet_prompts


def train(
    base: Base,
    subject: Subject,
    recipe: Recipe | str = "lora",
    *,
    output: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    start: str | Path | Adapter | None = None,
    callbacks: Sequence[Callback] = (),
    stop: Stop | None = None,
    encoders: Encoders | None = None,
) -> Adapter:
    """Teach a base a subject.

    Args:
        base: The frozen base; it is left as found.
        subject: Who or what, with photos at the base's resolution.
        recipe: A recipe, or a method whose recipe for this base is used.
        output: Adapter file to write. Checkpoints go into the folder ``<output>.run`` beside it until it is written.
        resume: Continue an interrupted run of the same settings.
        overwrite: Replace an adapter file or an interrupted run that is there.
        start: An adapter, or its file, whose values the training starts from; it is of this recipe's method, settings
            and layers. None starts afresh.
        callbacks: Called with the number of completed steps.
        stop: Set from elsewhere, it ends the run after the step in hand with a checkpoint, as Ctrl-C does.
        encoders: What judges pictures while a recipe watches; those the recipe names when not given.

    Returns:
        The trained adapter: the best seen if the recipe watches, else averaged if it keeps an average.
    """
    if isinstance(recipe, str):
        recipe = load_recipe(recipe, base.name, base.family.name)
    recipe.refuse(FOR_SEVERAL_SUBJECTS, "needs several subjects")
    run = Run(
        base,
        recipe,
        partial(new_adapter, base, [subject], recipe),
        output=output,
        resume=resume,
        overwrite=overwrite,
        start=start,
        callbacks=callbacks,
        stop=stop,
    )
    encoders = encoders or Encoders.of(recipe)
    task = dreambooth_task(base, run.adapter, subject, recipe)
    watched = recipe.watch.every > 0
    return run.fit(
        task,
        f"teaching {subject.token}",
        prompts=sheet_prompts([subject], recipe),
        watch=subject_watch(base, task, subject, encoders, run.pictures, run.offload.awake) if watched else None,
    )

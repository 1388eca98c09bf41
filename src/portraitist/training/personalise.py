"""The main job: photos and a recipe to an adapter."""

from collections.abc import Sequence
from pathlib import Path

from portraitist.adapters import Adapter
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.training.assembling import dreambooth_task, subject_watch
from portraitist.training.blank_adapters import new_adapter
from portraitist.training.fitting import fit, open_journal, require_room
from portraitist.training.loop.loop import Callback, Stop
from portraitist.training.loop.processes import Processes
from portraitist.training.memory import Offload
from portraitist.training.outputs import check_output, run_folder
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.starting import start_from
from portraitist.training.subjects import Subject
from portraitist.training.watching.judging import Encoders, Samples


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
        encoders: What judges drawn pictures while a recipe watches; those the recipe names when not given.

    Returns:
        The trained adapter: the best seen if the recipe watches, else averaged if it keeps an average.
    """
    if isinstance(recipe, str):
        recipe = load_recipe(recipe, base.name, base.family.name)
    if recipe.cut_mix or recipe.unmix_weight:
        raise BadConfig("cut_mix and unmix_weight need several subjects; set both to 0 for a single one")
    output = check_output(output, resume, overwrite)
    adapter = new_adapter(base, subject, recipe)
    if start is not None:
        start_from(adapter, start, base)
    require_room(output, adapter)
    folder = run_folder(output) if output is not None else None
    journal = open_journal(recipe, folder)
    encoders = encoders or Encoders.of(recipe)
    task = dreambooth_task(base, adapter, subject, recipe)
    offload = Offload(base, recipe.memory, task.trains_text)
    pictures = folder if Processes.current().is_first else None
    watch = subject_watch(base, task, subject, encoders, pictures, offload.awake) if recipe.watch.every else None
    if recipe.log.samples_every and pictures is not None:
        callbacks = [*callbacks, Samples(base, [subject], recipe, pictures, offload.awake)]
    return fit(
        base,
        task,
        recipe,
        output,
        resume=resume,
        callbacks=callbacks,
        stop=stop,
        description=f"teaching {subject.token}",
        watch=watch,
        journal=journal,
        offload=offload,
    )

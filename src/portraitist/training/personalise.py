"""The main job: photos and a recipe to an adapter."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch

from portraitist import __version__
from portraitist.adapters import Adapter, Attachment, find_layers, get_method, save_adapter
from portraitist.bases import Base
from portraitist.errors import BadConfig, TrainingDiverged
from portraitist.files import require_writable
from portraitist.randomness import torch_generator
from portraitist.training.assembling import dreambooth_task, subject_watch
from portraitist.training.loop.contracts import Watch
from portraitist.training.loop.journal import Journal
from portraitist.training.loop.loop import Callback, Loop, LoopConfig, Outcome, Task
from portraitist.training.loop.processes import Processes
from portraitist.training.memory import Offload, checkpointed
from portraitist.training.outputs import SUFFIX, check_output, remove_run, run_folder
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.subjects import Subject
from portraitist.training.watching.judging import Encoders, Samples

_FLOAT32 = 4


class AdapterTask(Task, Protocol):
    """A task whose parameters are an adapter's."""

    @property
    def adapter(self) -> Adapter:
        """The adapter, not attached yet."""

    def attached(self, attachment: Attachment) -> None:
        """Called once the adapter is attached, while all parts of the base are still at hand."""


def train(
    base: Base,
    subject: Subject,
    recipe: Recipe | str = "lora",
    *,
    output: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    callbacks: Sequence[Callback] = (),
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
        callbacks: Called with the number of completed steps.
        encoders: What judges drawn pictures while a recipe watches; those the recipe names when not given.

    Returns:
        The trained adapter: the best seen if the recipe watches, else averaged if it keeps an average.
    """
    if isinstance(recipe, str):
        recipe = load_recipe(recipe, base.name, base.family.name)
    if recipe.cut_mix or recipe.unmix_weight:
        raise BadConfig("cut_mix and unmix_weight are for several subjects; teach them together, or set both to 0")
    output = check_output(output, resume, overwrite)
    adapter = new_adapter(base, subject, recipe)
    require_room(output, adapter)
    folder = run_folder(output) if output is not None else None
    journal = _journal(recipe, folder)
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
        description=f"teaching {subject.token}",
        watch=watch,
        journal=journal,
        offload=offload,
    )


def fit(
    base: Base,
    task: AdapterTask,
    recipe: Recipe,
    output: Path | None,
    *,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    description: str = "training",
    watch: Watch | None = None,
    journal: Journal | None = None,
    offload: Offload | None = None,
) -> Adapter:
    """Run a task's training, note it in the adapter and write its file; the base is left as found."""
    adapter = task.adapter
    folder = run_folder(output) if output is not None else None
    attachment = Attachment(base.components).attach(adapter)
    try:
        task.attached(attachment)
        journal = journal or _journal(recipe, folder)
        loop = Loop(
            task, loop_config(recipe, base), folder, callbacks, description=description, journal=journal, watch=watch
        )
        with checkpointed(base, recipe.memory), offload.away() if offload else nullcontext():
            outcome = loop.run(resume=resume)
    except TrainingDiverged as error:
        raise _rescued(error, loop, adapter, folder) from error
    finally:
        attachment.detach()
    loop.keep()
    for parameter in adapter.named_parameters().values():
        parameter.requires_grad_(False)
    adapter.metadata["training"] = _summary(outcome)
    if output is not None and Processes.current().is_first:
        save_adapter(adapter, output)
        remove_run(output)
    Processes.current().wait()
    return adapter


def _rescued(error: TrainingDiverged, loop: Loop, adapter: Adapter, folder: Path | None) -> TrainingDiverged:
    """Write what is worth keeping of a run that diverged as an adapter into its folder, and say where it is."""
    step = loop.rescue() if folder is not None else None
    if folder is None or step is None:
        return TrainingDiverged(error.step, error.what)
    file = folder / f"step-{step}{SUFFIX}"
    if Processes.current().is_first:
        adapter.metadata["training"] = {"steps": step, "seconds": round(loop.seconds, 1)}
        save_adapter(adapter, file)
    return TrainingDiverged(error.step, error.what, f"the adapter as it was after step {step} is in {file}")


def _summary(outcome: Outcome) -> dict[str, Any]:
    """Return what an adapter's file tells about its training."""
    summary: dict[str, Any] = {"steps": outcome.steps, "seconds": round(outcome.seconds, 1)}
    if outcome.kept is not None:
        share = outcome.watch_seconds / max(outcome.seconds, 1e-9)
        summary |= {"kept_step": outcome.kept, "watch_share": round(share, 3)}
    return summary


def _journal(recipe: Recipe, folder: Path | None) -> Journal:
    """Return the run's journal; only the first of several processes writes."""
    if not Processes.current().is_first:
        return Journal(None)
    return Journal(folder, recipe.log.trackers, recipe.model_dump(mode="json"))


def require_room(output: Path | None, adapter: Adapter) -> None:
    """Check that parameters, two moments and an average in the checkpoint, and the adapter file if any, find room.

    Raises:
        UnwritableFolder: If they do not.
    """
    if output is not None:
        require_writable(output.parent, 5 * _FLOAT32 * adapter.count())


def new_adapter(base: Base, subject: Subject, recipe: Recipe) -> Adapter:
    """Create the untrained adapter of a run, with its metadata."""
    words = {"{token}": base.family.token_ids(subject.token), "{class}": base.family.token_ids(subject.class_noun)}
    adapter = blank_adapter(base, recipe, fill_placeholders(recipe.method_config, words))
    adapter.metadata["subject"] = {"name": subject.name, "class": subject.class_noun, "token": subject.token}
    adapter.metadata["trigger"] = f"{subject.token} {subject.class_noun}"
    return adapter


def blank_adapter(base: Base, recipe: Recipe, config: Mapping[str, Any]) -> Adapter:
    """Create an untrained adapter of a recipe's method and layers, with what is known about base and recipe."""
    specs = find_layers(base.components, resolve_layers(base, recipe.layers))
    if isinstance(recipe.layers, str):
        # A named set is for all methods: LoRA passes over its norms. Patterns must fit the method exactly.
        specs = [spec for spec in specs if spec.kind in get_method(recipe.method).layers]
    adapter = Adapter.create(recipe.method, config, specs, torch_generator(recipe.seed, "adapter"))
    adapter.metadata.update(adapter_metadata(base, recipe, base.fingerprint))
    return adapter.to(base.device)


def fill_placeholders(settings: Any, words: Mapping[str, tuple[int, ...]]) -> Any:
    """Put token ids where method settings, also in groups, hold ``{token}`` and ``{class}``; other values stay."""
    if isinstance(settings, Mapping):
        return {key: fill_placeholders(value, words) for key, value in settings.items()}
    return words.get(settings, settings) if isinstance(settings, str) else settings


def resolve_layers(base: Base, layers: str | tuple[str, ...]) -> tuple[str, ...]:
    """Turn names of layer sets into patterns; patterns stay as they are.

    Raises:
        BadConfig: If the family has no such set.
    """
    sets = base.family.layer_sets
    patterns: list[str] = []
    for name in [layers] if isinstance(layers, str) else layers:
        if name not in sets and not ("." in name or "*" in name):
            raise BadConfig(f"no layer set is named {name!r} for {base.name}; there are: {', '.join(sets)}")
        patterns += sets.get(name, (name,))
    return tuple(patterns)


def loop_config(recipe: Recipe, base: Base) -> LoopConfig:
    """Return the loop's part of a recipe; gradients that come through a float16 denoiser are scaled."""
    return LoopConfig(
        scale_gradients=base.family.dtype is torch.float16,
        steps=recipe.steps,
        accumulate=recipe.accumulate,
        schedule=recipe.schedule,
        warmup_steps=recipe.warmup_steps,
        cycles=recipe.schedule_options.cycles,
        power=recipe.schedule_options.power,
        step_rules=recipe.schedule_options.rules,
        max_gradient_norm=recipe.max_gradient_norm,
        optimizer=recipe.optimizer.name,
        betas=recipe.optimizer.betas,
        epsilon=recipe.optimizer.epsilon,
        average_decay=recipe.average_decay,
        precision=recipe.precision,
        log_every=10,
    )


def adapter_metadata(base: Base, recipe: Recipe, fingerprint: str) -> dict[str, Any]:
    """Return what an adapter's file tells about its base and its recipe."""
    return {
        "base": {
            "name": base.name,
            "family": base.family.name,
            "fingerprint": fingerprint,
            "dtype": base.precision,
            "resolution": base.family.resolution,
            **({"bits": base.bits} if base.bits else {}),
        },
        "recipe": recipe.model_dump(mode="json"),
        "portraitist_version": __version__,
    }

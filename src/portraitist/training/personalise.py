"""The main job: photos and a recipe to an adapter."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from portraitist import __version__
from portraitist.adapters import Adapter, Attachment, find_layers, get_method, save_adapter
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.files import require_writable
from portraitist.generation import SamplingConfig
from portraitist.randomness import torch_generator
from portraitist.training.dreambooth import DreamBoothTask, encode
from portraitist.training.loop import Callback, Loop, LoopConfig
from portraitist.training.outputs import check_output, remove_run, run_folder
from portraitist.training.priors import prior_images
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.subjects import Subject

_FLOAT32 = 4


def train(
    base: Base,
    subject: Subject,
    recipe: Recipe | str = "lora",
    *,
    output: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    callbacks: Sequence[Callback] = (),
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

    Returns:
        The trained adapter, with averaged parameters if the recipe keeps an average.
    """
    if isinstance(recipe, str):
        recipe = load_recipe(recipe, base.name, base.family.name)
    output = Path(output) if output is not None else None
    if output is not None:
        check_output(output, resume, overwrite)
    adapter = new_adapter(base, subject, recipe)
    if output is not None:
        # Parameters, two moments and an average in the checkpoint, and the adapter file.
        require_writable(output.parent, 5 * _FLOAT32 * adapter.count())
    task = _task(base, adapter, subject, recipe)
    attachment = Attachment(base.components).attach(adapter)
    try:
        folder = run_folder(output) if output is not None else None
        loop = Loop(task, loop_config(recipe), folder, callbacks, description=f"teaching {subject.token}")
        outcome = loop.run(resume=resume)
    finally:
        attachment.detach()
    if loop.average is not None:
        loop.average.copy_to(loop.parameters.values())
    for parameter in adapter.named_parameters().values():
        parameter.requires_grad_(False)
    adapter.metadata["training"] = {"steps": outcome.steps, "seconds": round(outcome.seconds, 1)}
    if output is not None:
        save_adapter(adapter, output)
        remove_run(output)
    return adapter


def new_adapter(base: Base, subject: Subject, recipe: Recipe) -> Adapter:
    """Create the untrained adapter of a run, with its metadata."""
    specs = find_layers(base.components, resolve_layers(base, recipe.layers))
    if isinstance(recipe.layers, str):
        # A named set is for all methods: LoRA passes over its norms. Patterns must fit the method exactly.
        specs = [spec for spec in specs if spec.kind in get_method(recipe.method).layers]
    config = {key: _token_ids(base, subject, value) for key, value in recipe.method_config.items()}
    adapter = Adapter.create(recipe.method, config, specs, torch_generator(recipe.seed, "adapter"))
    adapter.metadata.update(_metadata(base, subject, recipe))
    return adapter.to(base.device)


def _token_ids(base: Base, subject: Subject, value: Any) -> Any:
    """Turn the placeholders ``{token}`` and ``{class}`` into token ids; other values stay."""
    words = {"{token}": subject.token, "{class}": subject.class_noun}
    return base.family.token_ids(words[value]) if isinstance(value, str) and value in words else value


def resolve_layers(base: Base, layers: str | tuple[str, ...]) -> tuple[str, ...]:
    """Turn a layer set's name into patterns; patterns stay as they are.

    Raises:
        BadConfig: If the family has no such set.
    """
    if not isinstance(layers, str):
        return tuple(layers)
    sets = base.family.layer_sets
    if layers in sets:
        return sets[layers]
    if "." in layers or "*" in layers:
        return (layers,)
    raise BadConfig(f"no layer set is named {layers!r} for {base.name}; there are: {', '.join(sets)}")


def loop_config(recipe: Recipe) -> LoopConfig:
    """Return the loop's part of a recipe."""
    return LoopConfig(
        steps=recipe.steps,
        accumulate=recipe.accumulate,
        schedule=recipe.schedule,
        warmup_steps=recipe.warmup_steps,
        max_gradient_norm=recipe.max_gradient_norm,
        average_decay=recipe.average_decay,
        precision=recipe.precision,
        log_every=10,
    )


def _task(base: Base, adapter: Adapter, subject: Subject, recipe: Recipe) -> DreamBoothTask:
    prompt = subject.prompt(recipe.prompt)
    class_prompt = recipe.class_prompt.format(subject.class_noun)
    photos = encode(base, subject.photos, recipe.mirror)
    if recipe.prior == "none":
        return DreamBoothTask(base, adapter, recipe, prompt, photos)
    prior = encode(base, prior_images(base, class_prompt, recipe.prior_images, SamplingConfig()))
    return DreamBoothTask(base, adapter, recipe, prompt, photos, class_prompt, prior)


def _metadata(base: Base, subject: Subject, recipe: Recipe) -> dict[str, Any]:
    return {
        "base": {
            "name": base.name,
            "family": base.family.name,
            "fingerprint": base.fingerprint,
            "dtype": base.precision,
        },
        "subject": {"name": subject.name, "class": subject.class_noun, "token": subject.token},
        "trigger": f"{subject.token} {subject.class_noun}",
        "recipe": recipe.model_dump(mode="json"),
        "portraitist_version": __version__,
    }

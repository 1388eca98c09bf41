"""One picture to an adapter, for editing it: no identifier, no prior, the prompt describes the picture.

The training of CoSINE (SVDiff, arXiv 2303.11305, section 3.5), for any method that adapts the denoiser.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from portraitist.adapters import Adapter
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.training.blank_adapters import blank_adapter
from portraitist.training.dreambooth import DreamBoothTask
from portraitist.training.fitting import Run
from portraitist.training.inputs.latents import encode
from portraitist.training.loop.loop import Callback, Stop
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.recipes.groups import LogSettings
from portraitist.training.recipes.recipe import FOR_ONE_SUBJECT, FOR_SEVERAL_SUBJECTS

# A mirror image is another picture, and there is no class to hold on to (lambda = 0 in the paper).
_SINGLE = {"prior": "none", "mirror": False}
# The authors' number for single pictures; more only copies the picture whatever the prompt.
_MOST_STEPS = 500
# Of the steps for several photos. A picture is sooner learnt: on ten edits of validation identities on toyland, svdiff,
# inverted, is nearer to the target with half of them (4 recognised instead of 2) and as like the subject.
_SHARE_OF_STEPS = 0.5
# The prompt is of words the base knows, and the target is read by the same text encoder: learning stays out of it.
_WITH_TEXT = "+text"


def single_image_recipe(method: str, base: Base, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Return a method's recipe for a base, as it is used on a single picture: in half the steps, the denoiser alone.

    Args:
        method: A method with its own parameters in the denoiser; ``svdiff`` is the paper's.
        base: The base.
        overrides: Settings above the recipe's.

    Raises:
        BadConfig: If the method teaches a word, which an edit has not, or a setting is wrong or has no effect.
    """
    recipe = load_recipe(method, base.name, base.family.name)
    settings = {**_SINGLE, "steps": min(math.ceil(_SHARE_OF_STEPS * recipe.steps), _MOST_STEPS), **(overrides or {})}
    if isinstance(recipe.layers, str):
        settings = {"layers": recipe.layers.removesuffix(_WITH_TEXT), **settings}
    recipe = recipe.replace(settings)
    _check_recipe(recipe)
    return recipe


def teach_picture(
    base: Base,
    picture: Image.Image,
    prompt: str,
    recipe: Recipe | str = "svdiff",
    *,
    output: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    start: str | Path | Adapter | None = None,
    callbacks: Sequence[Callback] = (),
    stop: Stop | None = None,
) -> Adapter:
    """Teach a base one picture and the prompt that describes it.

    Args:
        base: The frozen base; it is left as found.
        picture: The picture, at the base's resolution.
        prompt: What is to be seen in it, in plain words.
        recipe: A recipe, or a method whose recipe is used as `single_image_recipe` has it.
        output: Adapter file to write. Checkpoints go into the folder ``<output>.run`` beside it until it is written.
        resume: Continue an interrupted run of the same settings.
        overwrite: Replace an adapter file or an interrupted run that is there.
        start: An adapter, or its file, whose values the training starts from; it is of this recipe's method, settings
            and layers. None starts afresh.
        callbacks: Called with the number of completed steps.
        stop: Set from elsewhere, it ends the run after the step in hand with a checkpoint, as Ctrl-C does.

    Raises:
        BadConfig: If the prompt is empty or the recipe is not for single pictures.
    """
    if not prompt.strip():
        raise BadConfig("the source prompt is empty; describe the picture: --source 'a red robot on the beach'")
    if isinstance(recipe, str):
        recipe = single_image_recipe(recipe, base)
    _check_recipe(recipe)
    run = Run(
        base,
        recipe,
        partial(_picture_adapter, base, prompt, recipe),
        output=output,
        resume=resume,
        overwrite=overwrite,
        start=start,
        callbacks=callbacks,
        stop=stop,
    )
    task = DreamBoothTask(base, run.adapter, recipe, prompt, encode(base, [picture], recipe.mirror))
    return run.fit(task, "learning the picture", prompts=[prompt])


def _check_recipe(recipe: Recipe) -> None:
    """Refuse settings that mean nothing for a single picture.

    Raises:
        BadConfig: Naming the setting.
    """
    if recipe.prior != "none":
        raise BadConfig("a single picture has no class, so there is no prior to preserve; leave out the prior")
    if "textual-inversion" in recipe.method.split("+"):
        raise BadConfig(f"{recipe.method} teaches a word, which an edit does not use; choose svdiff, lora or full")
    recipe.refuse(FOR_SEVERAL_SUBJECTS, "needs several subjects")
    recipe.refuse(FOR_ONE_SUBJECT, "needs photos of a subject, not a single picture")
    if recipe.log.sample_prompts != LogSettings().sample_prompts:
        raise BadConfig("log.sample_prompts needs a subject; leave it out, and samples show the picture's own prompt")


def _picture_adapter(base: Base, prompt: str, recipe: Recipe) -> Adapter:
    adapter = blank_adapter(base, recipe, recipe.method_config)
    adapter.provenance.facts["source_prompt"] = prompt
    return adapter

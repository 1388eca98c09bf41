"""Rank-relaxed fast fine-tuning: a LoRA trained beside a frozen prediction, then both as one (section 4.3).

The paper merges the prediction into the base and trains a LoRA of rank r' > 1 on top; training it beside the attached
prediction computes the same, and the sum of both is an exact LoRA of rank K + r' (1 + r' with LiDB). One factor of the
LoRA is random and one zero, so that its first gradient is not.
"""

from collections.abc import Callable, Sequence
from typing import Any

from portraitist.adapters import Adapter, Attachment, add, get_method, to_lora
from portraitist.adapters.spec import Kind
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.hypernetworks.networks.outputs import with_token, without_token
from portraitist.hypernetworks.ranks import RankByTimestep
from portraitist.hypernetworks.settings import RefinementSettings
from portraitist.randomness import torch_generator
from portraitist.training.assembling import dreambooth_task
from portraitist.training.fitting import Run
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.subjects import Subject

STEPS = 40  # the paper's


def refine(
    base: Base,
    prediction: Adapter,
    subject: Subject,
    settings: RefinementSettings,
    steps: int = STEPS,
    callbacks: Sequence[Callable[[int], None]] = (),
) -> Adapter:
    """Train on from a prediction with the photos it was made from; the base and the prediction are left as found.

    Args:
        base: The base.
        prediction: What a hypernetwork made of the photos; it is moved to the base's device.
        subject: The photos, with the token and the class noun of the prediction.
        settings: Rank, rate, and whether rank goes by timestep.
        steps: How many.
        callbacks: Called with the number of completed steps.

    Returns:
        The exact sum as a LoRA, with the token's embedding if it was predicted.

    Raises:
        TrainingDiverged: When a loss is not finite.
        BadConfig: If the prediction changes no linear layer.
    """
    recipe = refinement_recipe(base, prediction, settings, steps)
    run = Run(base, recipe, lambda: _beside(base, prediction, recipe), callbacks=callbacks)
    plain = dreambooth_task(base, run.adapter, subject, recipe)
    least = settings.least_rank
    task = plain if least is None else RankByTimestep(base, run.adapter, plain, least)
    attachment = Attachment(base.components).attach(prediction.to(base.device), "prediction")
    try:
        trained = run.fit(task, "refining")
    finally:
        attachment.detach()
    weights, token = without_token(prediction)
    total = add([to_lora(weights).adapter, trained])
    facts = {**prediction.provenance.facts, "refinement": {"steps": steps, **settings.model_dump(mode="json")}}
    total.provenance.facts.update({**facts, "training": trained.provenance.training})
    return total if token is None else with_token(total, token)


def refinement_recipe(base: Base, prediction: Adapter, settings: RefinementSettings, steps: int) -> Recipe:
    """Return how the LoRA beside a prediction is trained: as the base's usual one, without a prior, at a constant rate.

    Raises:
        BadConfig: If the prediction changes no linear layer.
    """
    layers = [spec.name for spec in prediction.space.specs.values() if spec.kind is Kind.LINEAR]
    if not layers:
        raise BadConfig("this prediction changes no linear layer, so there is nothing to train beside it")
    changes: dict[str, Any] = {
        "method_config": {"rank": settings.rank},
        "layers": layers,
        "steps": steps,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "text_learning_rate": None,
        "schedule": "constant",
        "warmup_steps": 0,
        "prior": "none",
    }
    return load_recipe("lora", base.name, base.family.name, None, changes)


def _beside(base: Base, prediction: Adapter, recipe: Recipe) -> Adapter:
    """Return the untrained LoRA on the prediction's layers."""
    specs = [spec for spec in prediction.space.specs.values() if spec.kind is Kind.LINEAR]
    config = get_method("lora").parse_config(recipe.method_config)
    blank = Adapter.create("lora", config, specs, torch_generator(recipe.seed, "refinement"))
    blank.provenance.facts["base"] = prediction.provenance.facts.get("base")
    return blank.to(base.device)

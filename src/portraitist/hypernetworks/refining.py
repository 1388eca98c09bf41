"""Training on from a prediction: rank-relaxed beside it, or the predicted numbers themselves.

Rank-relaxed fast fine-tuning is the paper's (HyperDreamBooth, arXiv 2307.06949, section 4.3): the prediction is merged
into the base and a LoRA of rank r' > 1 trained on top. Training it beside the attached prediction computes the same,
and the sum of both is an exact LoRA of rank K + r' (1 + r' with LiDB). One factor of the LoRA is random and one zero, so
that its first gradient is not.

Training the predicted numbers stays in the space that was learned of many subjects, in which few numbers say most of
what tells them apart. That is ours; their adapter is no larger than the prediction.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from portraitist.adapters import Adapter, Attachment, add, get_method, to_lora
from portraitist.adapters.provenance import Provenance
from portraitist.adapters.spec import Kind
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.hypernetworks.networks.contract import Predicted
from portraitist.hypernetworks.networks.outputs import for_files, with_token, without_token
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
    prediction: Predicted,
    subject: Subject,
    settings: RefinementSettings,
    steps: int = STEPS,
    callbacks: Sequence[Callable[[int], None]] = (),
    rank: int | None = None,
) -> Adapter:
    """Train on from a prediction with the photos it was made from; the base and the prediction are left as found.

    Args:
        base: The base.
        prediction: What a hypernetwork made of the photos; it is moved to the base's device.
        subject: The photos, with the token and the class noun of the prediction.
        settings: What is trained, at which rate, and whether rank goes by timestep.
        steps: How many.
        callbacks: Called with the number of completed steps.
        rank: Maximum rank of a LoRA that predicted numbers become.

    Returns:
        Beside a prediction the exact sum of both as a LoRA; of predicted numbers what they are an adapter of, as the
        prediction is. With the token's embedding if it was predicted.

    Raises:
        TrainingDiverged: When a loss is not finite.
        BadConfig: If the prediction changes no linear layer.
    """
    weights, token = without_token(prediction.adapter)
    beside = settings.trains == "beside"
    recipe = refinement_recipe(base, weights, settings, steps)
    run = Run(
        base,
        recipe,
        lambda: _blank(base, weights, recipe) if beside else _trainable(base, prediction.own),
        callbacks=callbacks,
    )
    plain = dreambooth_task(base, run.adapter, subject, recipe)
    least = settings.least_rank
    task = plain if least is None else RankByTimestep(base, run.adapter, plain, least)
    attachment = Attachment(base.components)
    for name, part in {"prediction": weights if beside else None, "token": token}.items():
        if part is not None:
            attachment.attach(part.to(base.device), name)
    try:
        trained = run.fit(task, "refining")
    finally:
        attachment.detach()
    total = add([to_lora(weights).adapter, trained]) if beside else for_files(trained, rank)[0]
    facts = {**weights.provenance.facts, "refinement": {"steps": steps, **settings.model_dump(mode="json")}}
    total.provenance.facts.update({**facts, "training": trained.provenance.training})
    return total if token is None else with_token(total, token)


def refinement_recipe(base: Base, prediction: Adapter, settings: RefinementSettings, steps: int) -> Recipe:
    """Return how a prediction is trained on: as the base's usual LoRA, without a prior, at a constant rate.

    Raises:
        BadConfig: If the prediction changes no linear layer.
    """
    layers = [spec.name for spec in prediction.space.specs.values() if spec.kind is Kind.LINEAR]
    if not layers:
        raise BadConfig("this prediction changes no linear layer, so there is nothing to train")
    changes: dict[str, Any] = {
        "method_config": {"rank": settings.rank},
        "layers": layers,
        "steps": steps,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate if settings.trains == "beside" else settings.numbers_learning_rate,
        "text_learning_rate": None,
        "schedule": "constant",
        "warmup_steps": 0,
        "prior": "none",
    }
    return load_recipe("lora", base.name, base.family.name, None, changes)


def _blank(base: Base, prediction: Adapter, recipe: Recipe) -> Adapter:
    """Return the untrained LoRA on the prediction's layers."""
    specs = [spec for spec in prediction.space.specs.values() if spec.kind is Kind.LINEAR]
    config = get_method("lora").parse_config(recipe.method_config)
    blank = Adapter.create("lora", config, specs, torch_generator(recipe.seed, "refinement"))
    blank.provenance.facts["base"] = prediction.provenance.facts.get("base")
    return blank.to(base.device)


def _trainable(base: Base, prediction: Adapter) -> Adapter:
    """Return predicted numbers as parameters; the prediction keeps its own."""
    values = {
        layer: {name: nn.Parameter(value.detach().to(base.device, copy=True)) for name, value in tensors.items()}
        for layer, tensors in prediction.values.items()
    }
    return Adapter(prediction.space, values, Provenance(dict(prediction.provenance.facts)))

"""The untrained adapter of a run: its layers, its method's settings, and what its file will tell of base and recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from portraitist import __version__
from portraitist.adapters import Adapter, find_layers, get_method
from portraitist.bases import Base
from portraitist.bases.layers import LayerSets
from portraitist.errors import BadConfig
from portraitist.exchange.compatibility import base_facts
from portraitist.randomness import torch_generator
from portraitist.training.recipes import Recipe
from portraitist.training.subjects import Subject


def new_adapter(base: Base, subjects: Sequence[Subject], recipe: Recipe) -> Adapter:
    """Create the untrained adapter of a run on one subject, or on several, with its metadata."""
    adapter = blank_adapter(base, recipe, fill_placeholders(recipe.method_config, _placeholders(base, subjects)))
    facts = adapter.provenance.facts
    described = [{"name": subject.name, "class": subject.class_noun, "token": subject.token} for subject in subjects]
    facts.update({"subject": described[0]} if len(subjects) == 1 else {"subjects": described})
    facts["trigger"] = ", ".join(f"{subject.token} {subject.class_noun}" for subject in subjects)
    return adapter


def _placeholders(base: Base, subjects: Sequence[Subject]) -> dict[str, tuple[int, ...]]:
    """Return the token ids of the subjects' words; of several subjects one token and one class token subject."""
    tokens = [base.family.token_ids(subject.token) for subject in subjects]
    nouns = [base.family.token_ids(subject.class_noun) for subject in subjects]
    if len(subjects) == 1:
        return {"{token}": tokens[0], "{class}": nouns[0]}
    return {"{token}": tuple(ids[0] for ids in tokens), "{class}": tuple(ids[0] for ids in nouns)}


def blank_adapter(base: Base, recipe: Recipe, config: Mapping[str, Any]) -> Adapter:
    """Create an untrained adapter of a recipe's method and layers, with what is known about base and recipe."""
    specs = find_layers(base.components, resolve_layers(base, recipe.layers))
    if isinstance(recipe.layers, str):
        # A named set is for all methods: LoRA passes over its norms. Patterns must fit the method exactly.
        specs = [spec for spec in specs if spec.kind in get_method(recipe.method).layers]
    adapter = Adapter.create(recipe.method, config, specs, torch_generator(recipe.seed, "adapter"))
    adapter.provenance.facts.update(adapter_metadata(base_metadata(base), recipe))
    return adapter.to(base.device)


def fill_placeholders(settings: Any, words: Mapping[str, tuple[int, ...]]) -> Any:
    """Put token ids where method settings, also in groups, hold ``{token}`` and ``{class}``; other values stay."""
    if isinstance(settings, Mapping):
        return {key: fill_placeholders(value, words) for key, value in settings.items()}
    return words.get(settings, settings) if isinstance(settings, str) else settings


def resolve_layers(base: Base, layers: str | tuple[str, ...]) -> tuple[str, ...]:
    """Turn names of a base's layer sets into patterns; patterns stay as they are.

    Raises:
        BadConfig: If the family has no such set.
    """
    return layer_patterns(base.name, base.family.layer_sets, layers)


def layer_patterns(name: str, sets: LayerSets, layers: str | tuple[str, ...]) -> tuple[str, ...]:
    """Turn names of layer sets into patterns; patterns stay as they are.

    Raises:
        BadConfig: If the base of this name has no such set.
    """
    patterns: list[str] = []
    for each in [layers] if isinstance(layers, str) else layers:
        if each not in sets and not ("." in each or "*" in each):
            raise BadConfig(f"{name} has no layer set named {each!r}; it has {', '.join(sets)}")
        patterns += sets.get(each, (each,))
    return tuple(patterns)


def adapter_metadata(base: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Return what an adapter's file tells about its base and its recipe."""
    return {"base": dict(base), "recipe": recipe.model_dump(mode="json"), "portraitist_version": __version__}


def base_metadata(base: Base) -> dict[str, Any]:
    """Return what a file tells about the base it is for; `portraitist.adapters.BaseFacts` reads it."""
    facts = asdict(base_facts(base))
    if base.revision is None:
        del facts["revision"]
    return {**facts, **({"bits": base.bits} if base.bits else {})}

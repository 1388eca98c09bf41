"""Starting a run from an adapter that exists already, instead of from one that leaves the base unchanged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portraitist.adapters import Adapter, Space
from portraitist.bases import Base
from portraitist.cache import content_key
from portraitist.errors import BadConfig, BaseMismatch
from portraitist.exchange.compatibility import base_facts
from portraitist.exchange.loading import load_any

# What an adapter's file says of the adapter its training started from.
START = "start"
# Settings of Textual Inversion that follow from the subject's token and class noun.
_WORDS = ("token_ids", "initial_ids")
_REMEDY = "start from an adapter of the same method, settings and layers"


def start_from(adapter: Adapter, start: str | Path | Adapter, base: Base) -> None:
    """Give a run's untrained adapter the values of another one, learned token embeddings included.

    The adapter's provenance notes where they came from.

    Args:
        adapter: The run's adapter.
        start: An adapter, or a file of any format.
        base: The base of the run.

    Raises:
        BadFile: If the file is missing, damaged, or no adapter of this base's layers.
        BaseMismatch: If it was made for another base.
        BadConfig: If it is a bank, or of another space; names the first difference.
    """
    first = start if isinstance(start, Adapter) else load_any(Path(start), base.components)
    name = "the adapter to start from" if isinstance(start, Adapter) else str(start)
    made_for, here = first.provenance.base, base_facts(base)
    if made_for is not None and made_for.likeness(here) == "different":
        raise BaseMismatch(
            f"{name} was made for {made_for}, but this run trains on {here}; start from an adapter of the same base"
        )
    if first.bank_size is not None:
        raise BadConfig(f"{name} is a bank of {first.bank_size} adapters; unstack it and start from one of them")
    _require_same_space(name, first, adapter.space)
    for layer, tensors in adapter.values.items():
        for key, value in tensors.items():
            value.data.copy_(first.values[layer][key])
    adapter.provenance.facts[START] = _describe(first, None if isinstance(start, Adapter) else Path(start).name)


def start_identity(adapter: Adapter) -> dict[str, Any]:
    """Return what a run's identity says of where it started; nothing for a run that started afresh."""
    start = adapter.provenance.facts.get(START)
    return {} if start is None else {START: start["values"]}


def _describe(first: Adapter, file: str | None) -> dict[str, Any]:
    values = sorted(first.named_parameters().items())
    parts = [part for name, value in values for part in (name, value.detach().float().cpu().numpy().tobytes())]
    facts = {
        "file": file,
        "trigger": first.provenance.trigger,
        "steps": first.provenance.training.get("steps"),
        "values": content_key(*parts),
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _require_same_space(name: str, first: Adapter, wanted: Space) -> None:
    """Refuse an adapter of another space.

    Raises:
        BadConfig: Naming the first difference.
    """
    found = first.space
    if found == wanted:
        return
    if found.method.name != wanted.method.name:
        raise BadConfig(f"{name} is a {found.method.name} adapter, but this run trains {wanted.method.name}; {_REMEDY}")
    there, here = (_flat(space.method.plain_config(space.config)) for space in (found, wanted))
    for setting in here:
        if there.get(setting) != here[setting]:
            if setting.rpartition(".")[2] in _WORDS:
                learned = f" ({first.provenance.trigger})" if first.provenance.trigger else ""
                raise BadConfig(f"{name} has learned other words{learned}; use the token and class noun it was given")
            raise BadConfig(
                f"{name} has {setting}={there.get(setting)}, but this run {setting}={here[setting]}; {_REMEDY}"
            )
    layer = next(
        layer
        for layer in sorted(found.specs.keys() | wanted.specs.keys())
        if found.specs.get(layer) != wanted.specs.get(layer)
    )
    if layer not in wanted.specs:
        raise BadConfig(f"{name} adapts {layer}, which this run does not; {_REMEDY}")
    if layer not in found.specs:
        raise BadConfig(f"{name} does not adapt {layer}, which this run does; {_REMEDY}")
    raise BadConfig(f"{name} was made for a layer {layer} of another shape; start from an adapter of the same base")


def _flat(settings: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return the settings of a method, or of several, as single values by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{path}{name}.") if isinstance(value, Mapping) else {f"{path}{name}": value}
    return flat

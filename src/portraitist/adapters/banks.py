"""Banks: several adapters of one space as one, with a leading axis on every parameter.

A bank attached to a model gives every sample of a batch an adapter of its own: N equal groups of samples in the bank's
order, or whichever `Attachment.serve` names. Its file holds an index of what is known of each adapter, and any of them
can be read without the others.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.description import BANK_FORMAT, read_description
from portraitist.adapters.files import read_space, read_values, write_file
from portraitist.adapters.provenance import Provenance, require_one_base
from portraitist.adapters.space import require_one_space
from portraitist.errors import BadConfig

# What is known of every adapter of a bank, beside what is known of all.
_INDEX = "index"


def stack(adapters: Sequence[Adapter], force: bool = False) -> Adapter:
    """Make a bank of adapters; its parameters are copies, and leaves of their own.

    Args:
        adapters: Single adapters of one space.
        force: Put adapters of different bases together too.

    Raises:
        BadConfig: If there are none, or they differ in method, configuration or layers.
        BaseMismatch: If they were made for different bases.
    """
    if not adapters:
        raise BadConfig("a bank needs at least one adapter")
    first = adapters[0]
    require_one_space([adapter.space for adapter in adapters])
    require_one_base([adapter.provenance for adapter in adapters], force)
    values: dict[str, dict[str, Tensor]] = {
        layer: {
            name: nn.Parameter(torch.stack([adapter.values[layer][name].detach() for adapter in adapters]))
            for name in tensors
        }
        for layer, tensors in first.values.items()
    }
    return Adapter(first.space, values, _joined([adapter.provenance for adapter in adapters]))


def unstack(bank: Adapter) -> list[Adapter]:
    """Return the adapters of a bank; their parameters are copies.

    Raises:
        BadConfig: If it is a single adapter.
    """
    size = bank.bank_size
    if size is None:
        raise BadConfig("this is a single adapter, not a bank of several")
    return [
        Adapter(
            bank.space,
            {
                layer: {name: nn.Parameter(value[number].detach().clone()) for name, value in tensors.items()}
                for layer, tensors in bank.values.items()
            },
            known,
        )
        for number, known in enumerate(index(bank.provenance, size))
    ]


def index(provenance: Provenance, size: int) -> list[Provenance]:
    """Return what a bank's file says of each of its adapters."""
    shared = {key: value for key, value in provenance.facts.items() if key != _INDEX}
    noted = provenance.facts.get(_INDEX)
    own = noted if isinstance(noted, list) and len(noted) == size else [{}] * size
    return [Provenance({**shared, **(facts if isinstance(facts, dict) else {})}) for facts in own]


def _joined(known: Sequence[Provenance]) -> Provenance:
    """Return what is known of all adapters, and an index of what is known of each besides."""
    first = known[0].facts
    shared = {
        key: value
        for key, value in first.items()
        if all(key in member.facts and member.facts[key] == value for member in known)
    }
    own = [{key: value for key, value in member.facts.items() if key not in shared} for member in known]
    # Copies of one base in other precisions are noted apart, but the bank as a whole is for that base.
    base = next((member.facts["base"] for member in known if member.base is not None), None)
    return Provenance({**shared, **({} if base is None else {"base": base}), **({_INDEX: own} if any(own) else {})})


def save_bank(bank: Adapter, path: str | Path, dtype: torch.dtype | None = None) -> None:
    """Write a bank, in a precision if one is given; the file appears complete or not at all.

    Raises:
        BadConfig: If it is a single adapter, or its numbers are too large for the precision.
    """
    if bank.space.check(bank.values) is None:
        raise BadConfig("this is a single adapter, not a bank of several; save_adapter writes it")
    write_file(bank, Path(path), BANK_FORMAT, dtype)


def load_bank(path: str | Path, numbers: Sequence[int] | None = None) -> Adapter:
    """Read a bank, or some of its adapters in the order they are named; half precisions become float32.

    Raises:
        BadFile: If the file holds a single adapter, or is damaged in a way that `load_adapter` names.
        BadConfig: If the bank has no adapter of such a number.
    """
    description = read_description(Path(path))
    size = description.require_bank()
    space, provenance = read_space(description), description.provenance
    if numbers is not None:
        if not numbers or not all(0 <= number < size for number in numbers):
            raise BadConfig(f"{path} is a bank of {size} adapters, counted from 0; it does not have {list(numbers)}")
        known = index(provenance, size)
        provenance = _joined([known[number] for number in numbers])
    return Adapter(space, read_values(description, space, numbers), provenance)


def read_index(path: str | Path) -> list[Provenance]:
    """Read what a bank's file says of each of its adapters, without their numbers.

    Raises:
        BadFile: If the file holds a single adapter, or is damaged.
    """
    description = read_description(Path(path))
    return index(description.provenance, description.require_bank())

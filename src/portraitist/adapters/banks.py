"""Banks: several adapters of one method as one, with a leading axis on every parameter.

A bank attached to a model gives every sample of a batch an adapter of its own: N equal groups of samples in the bank's
order, or whichever `Attachment.serve` names.
"""

from collections.abc import Sequence

import torch
from torch import nn

from portraitist.adapters.adapter import Adapter
from portraitist.errors import BadConfig


def stack(adapters: Sequence[Adapter]) -> Adapter:
    """Make a bank of adapters; its parameters are copies, and leaves of their own.

    Raises:
        BadConfig: If there are none, or they differ in method, configuration or layers.
    """
    if not adapters:
        raise BadConfig("a bank needs at least one adapter")
    first = adapters[0]
    for number, other in enumerate(adapters[1:], 2):
        if (other.method, other.config) != (first.method, first.config):
            raise BadConfig(
                f"adapter {number} is {other.method.name} {other.config}, the first {first.method.name} {first.config};"
                " a bank holds adapters of one method and configuration"
            )
        if other.parameters.keys() != first.parameters.keys():
            name = sorted(other.parameters.keys() ^ first.parameters.keys())[0]
            raise BadConfig(f"adapter {number} and the first differ in layer {name}; a bank holds adapters of one set")
    parameters = {
        layer: {
            name: nn.Parameter(torch.stack([adapter.parameters[layer][name].detach() for adapter in adapters]))
            for name in tensors
        }
        for layer, tensors in first.parameters.items()
    }
    return Adapter(first.method, first.config, first.layers, parameters)  # type: ignore[arg-type]


def unstack(bank: Adapter) -> list[Adapter]:
    """Return the adapters of a bank; their parameters are copies."""
    size = next(iter(bank.named_parameters().values())).shape[0]
    return [
        Adapter(
            bank.method,
            bank.config,
            bank.layers,
            {
                layer: {name: nn.Parameter(value[index].detach().clone()) for name, value in tensors.items()}
                for layer, tensors in bank.parameters.items()
            },
            dict(bank.metadata),
        )
        for index in range(size)
    ]

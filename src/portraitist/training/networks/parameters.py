"""Which of a network's parameters are stepped how."""

from collections.abc import Collection, Mapping

from torch import nn

from portraitist.training.loop.contracts import ParameterGroup


def parameter_groups(
    network: nn.Module, learning_rate: float, weight_decay: float = 0.0, edges: Collection[str] = ()
) -> list[ParameterGroup]:
    """Split a network's parameters into hidden matrices and convolutions, and everything else.

    Args:
        network: Its trained parameters are those that require gradients.
        learning_rate: Of both groups.
        weight_decay: Of the hidden ones.
        edges: Names of modules at the network's edges, such as embeddings and the first and last layer: what Muon
            should leave to AdamW.
    """
    named = {name: value for name, value in network.named_parameters() if value.requires_grad}
    return group_parameters(named, learning_rate, weight_decay, edges)


def group_parameters(
    named: Mapping[str, nn.Parameter], learning_rate: float, weight_decay: float = 0.0, edges: Collection[str] = ()
) -> list[ParameterGroup]:
    """Split parameters by name, as `parameter_groups` splits a network's."""
    hidden = {name: value for name, value in named.items() if value.ndim > 1 and not _within(name, edges)}
    others = {name: value for name, value in named.items() if name not in hidden}
    groups = [ParameterGroup(hidden, learning_rate, weight_decay, hidden=True), ParameterGroup(others, learning_rate)]
    return [group for group in groups if group.parameters]


def _within(name: str, modules: Collection[str]) -> bool:
    return any(part in modules for part in name.split("."))

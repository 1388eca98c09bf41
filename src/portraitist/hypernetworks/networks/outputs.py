"""What a hypernetwork predicts: the numbers of a space, attached to a base as a bank, or written as one adapter."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from portraitist.adapters import Adapter, Attachment, LayerSpec, Space, get_method, to_lora
from portraitist.adapters.provenance import Provenance
from portraitist.adapters.spec import Kind
from portraitist.errors import BadConfig
from portraitist.hypernetworks.networks.contract import Predicted
from portraitist.hypernetworks.networks.subspace import SharedChanges
from portraitist.hypernetworks.settings import OutputSettings

_WEIGHTS, _TOKEN = "predicted weights", "predicted token"
_INVERSION = "textual-inversion"


class Output(nn.Module):
    """The spaces whose numbers a network predicts, side by side in a vector ``[P]``.

    Args:
        settings: Which spaces.
        specs: The linear layers that are adapted, and where the token is predicted the embedding.
        token_ids: The rare word's tokens.
        token_scale: Deviation of the embedding's numbers, in which the token's are counted.
    """

    token_scale: Tensor

    def __init__(
        self,
        settings: OutputSettings,
        specs: Sequence[LayerSpec],
        token_ids: tuple[int, ...] = (),
        token_scale: float = 1.0,
    ) -> None:
        super().__init__()
        linear = sorted((spec for spec in specs if spec.kind is Kind.LINEAR), key=lambda spec: spec.name)
        embeddings = [spec for spec in specs if spec.kind is Kind.EMBEDDING]
        self.changes: SharedChanges | None = None
        if settings.space == "subspace":
            self.changes = SharedChanges(linear, settings.config)
            weights = self.changes.space
        else:
            weights = Space.of(settings.space, settings.config, linear)
        self.spaces = {_WEIGHTS: weights}
        if settings.token:
            config = {"token_ids": token_ids, "initial_ids": token_ids}
            self.spaces[_TOKEN] = Space.of(_INVERSION, config, embeddings[:1])
        self.register_buffer("token_scale", torch.tensor(token_scale))

    @property
    def specs(self) -> list[LayerSpec]:
        """Return all adapted layers."""
        return [spec for space in self.spaces.values() for spec in space.specs.values()]

    @property
    def weights(self) -> Space:
        """Return the space of the linear layers."""
        return self.spaces[_WEIGHTS]

    @property
    def count(self) -> int:
        """Return how many numbers are predicted."""
        return sum(space.count for space in self.spaces.values())

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return how many numbers each layer has, in the vector's order."""
        return tuple(
            sum(torch.Size(shape).numel() for shape in shapes.values())
            for space in self.spaces.values()
            for _, shapes in sorted(space.shapes.items())
        )

    def attach(self, components: Mapping[str, nn.Module]) -> Attachment:
        """Attach to a base, whose numbers `feed` then brings."""
        attachment = Attachment(components)
        for name, space in self.spaces.items():
            attachment.attach(Adapter(space, space.unflatten(torch.zeros(space.count))), name)
        return attachment

    def feed(self, attachment: Attachment, numbers: Tensor) -> None:
        """Give every adapter of a bank its numbers ``[N, P]`` (or ``[P]`` for one); gradients reach them."""
        for (name, space), part in zip(self.spaces.items(), self._parts(numbers), strict=True):
            attachment.feed(name, space.unflatten(part))

    @torch.no_grad()
    def adapter(self, numbers: Tensor, provenance: Provenance, rank: int | None = None) -> Predicted:
        """Return the numbers ``[P]`` of one prediction as an ordinary adapter: LiDB stays, a subspace becomes a LoRA.

        Args:
            numbers: Of one prediction.
            provenance: What its file says.
            rank: Maximum rank of the LoRA; when not given, the number of learned changes, which is exact.
        """
        parts = dict(zip(self.spaces, self._parts(numbers.float().cpu()), strict=True))
        adapter = Adapter(self.weights, self.weights.unflatten(parts[_WEIGHTS]), provenance)
        energy = 1.0
        if self.changes is not None:
            conversion = to_lora(adapter, rank)
            adapter, energy = replace(conversion.adapter, provenance=provenance), min(conversion.energy.values())
        if _TOKEN in parts:
            token = self.spaces[_TOKEN]
            adapter = with_token(adapter, Adapter(token, token.unflatten(parts[_TOKEN])))
        return Predicted(adapter, energy)

    def _parts(self, numbers: Tensor) -> list[Tensor]:
        """Return each space's numbers ``[.., p]``."""
        parts = list(numbers.split([space.count for space in self.spaces.values()], -1))
        if _TOKEN in self.spaces:
            parts[-1] = parts[-1] * self.token_scale.to(parts[-1])
        return parts


def with_token(weights: Adapter, token: Adapter) -> Adapter:
    """Return the adapter of both: the token's new vector and the changed weights, of the methods joined with ``+``."""
    method = get_method(f"{token.method.name}+{weights.method.name}")
    config = {part.method.name: part.method.plain_config(part.config) for part in (token, weights)}
    specs = [*token.space.specs.values(), *weights.space.specs.values()]
    return Adapter(Space.of(method, config, specs), {**token.values, **weights.values}, weights.provenance)


def without_token(adapter: Adapter) -> tuple[Adapter, Adapter | None]:
    """Take an adapter apart that `with_token` put together: weights, and the token's if it has one.

    Raises:
        BadConfig: If it has no changed weights.
    """
    embedding = [name for name, spec in adapter.space.specs.items() if spec.kind is Kind.EMBEDDING]
    others = [name for name in adapter.values if name not in embedding]
    if not others:
        raise BadConfig("this adapter changes no weights that could be trained on")
    if not embedding:
        return adapter, None
    token_name, _, weights_name = adapter.method.name.partition("+")
    plain = adapter.method.plain_config(adapter.config)
    parts = []
    for name, layers in ((weights_name, others), (token_name, embedding)):
        space = Space.of(name, plain[name], [adapter.space.specs[layer] for layer in layers])
        parts.append(Adapter(space, {layer: adapter.values[layer] for layer in layers}, adapter.provenance))
    return parts[0], parts[1]

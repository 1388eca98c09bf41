"""How the LoRAs of one space lie in a vector: a table of pieces, from which vectors are made and read back.

Layer by layer in the order of their names, each layer's A row by row and then the transpose of its B row by row: the
numbers of a rank lie side by side in both (our choice; DiffLoRA, arXiv 2408.06740, does not say how it flattens). Where
all LoRAs share one A it is not in the vector.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from portraitist.adapters import Adapter, LayerSpec, Space
from portraitist.adapters.layouts.lora import LoraConfig
from portraitist.adapters.spec import Kind
from portraitist.errors import BadConfig
from portraitist.hypernetworks.weights.canonical import canonical

# Up to this share of their largest number may factors differ that are one and the same: they are kept in float16.
_SAME = 1e-3


@dataclass(frozen=True)
class Piece:
    """A factor of a layer in a vector.

    Attributes:
        layer: The layer's name.
        factor: ``down`` (A) or ``up`` (B, transposed).
        first: Where it begins.
        rank: Its rows, one for each rank.
        width: Numbers of a row: inputs of A, outputs of B.
    """

    layer: str
    factor: str
    first: int
    rank: int
    width: int

    @property
    def numbers(self) -> slice:
        """Return where its numbers are."""
        return slice(self.first, self.first + self.rank * self.width)


@dataclass(frozen=True)
class Factors:
    """The two factors of a layer's changes.

    Attributes:
        up: B, ``[n, out, rank]``.
        down: A, ``[n, rank, in]``; ``[1, rank, in]`` where all share one.
    """

    up: Tensor
    down: Tensor


class WeightLayout:
    """The LoRAs of one rank on some linear layers, as vectors.

    Args:
        specs: The layers.
        rank: Of all LoRAs.
        common: The factor A of each layer that all LoRAs share, ``[rank, in]``; None where each has its own.

    Raises:
        BadConfig: If a layer is not linear.
    """

    def __init__(self, specs: Sequence[LayerSpec], rank: int, common: Mapping[str, Tensor] | None = None) -> None:
        if other := next((spec.name for spec in specs if spec.kind is not Kind.LINEAR), None):
            raise BadConfig(f"only LoRAs of linear layers can be learnt from, and {other} is not one")
        self.space = Space.of("lora", LoraConfig(rank), sorted(specs, key=lambda spec: spec.name))
        self.rank, self.common = rank, None if common is None else dict(common)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """Return the table: every factor and where it is."""
        pieces: list[Piece] = []
        first = 0
        for name, spec in self.space.specs.items():
            for factor, width in (("down", spec.in_features), ("up", spec.out_features)):
                if factor == "down" and self.common is not None:
                    continue
                pieces.append(Piece(name, factor, first, self.rank, width))
                first += self.rank * width
        return tuple(pieces)

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the layers' names, in their order."""
        return tuple(self.space.layers)

    @cached_property
    def count(self) -> int:
        """Return the length of a vector, P."""
        return sum(piece.rank * piece.width for piece in self.pieces)

    @torch.no_grad()
    def vectors(self, bank: Adapter) -> Tensor:
        """Return a bank's LoRAs as vectors ``[N, P]``: in canonical form, unless they share their A.

        Raises:
            BadConfig: If they are of another space, or do not share their A although the layout says so.
        """
        if bank.space != self.space:
            raise BadConfig(
                f"the target adapters are {bank.method.name} {bank.config} on {len(bank.space.layers)} layers, not"
                f" LoRAs of rank {self.rank} on {len(self.layers)}"
            )
        rows = []
        for name in self.layers:
            up, down = bank.values[name]["up"].detach(), bank.values[name]["down"].detach()
            if self.common is None:
                up, down = canonical(up, down)
                rows.append(down.flatten(1))
            elif float((down - self.common[name]).abs().max()) > _SAME * float(down.abs().max()):
                raise BadConfig(f"the target adapters do not share their factor A of {name}; make them with --frozen-a")
            rows.append(up.transpose(1, 2).flatten(1))
        return torch.cat(rows, 1)

    def factors(self, vectors: Tensor) -> dict[str, Factors]:
        """Return every layer's factors of the LoRAs in vectors ``[n, P]``, as views; gradients pass."""
        found: dict[str, dict[str, Tensor]] = {name: {} for name in self.layers}
        for piece in self.pieces:
            rows = vectors[:, piece.numbers].unflatten(1, (piece.rank, piece.width))
            found[piece.layer][piece.factor] = rows if piece.factor == "down" else rows.transpose(1, 2)
        if self.common is not None:
            for name, down in self.common.items():
                found[name]["down"] = down.to(vectors).unsqueeze(0)
        return {name: Factors(parts["up"], parts["down"]) for name, parts in found.items()}

    @torch.no_grad()
    def bank(self, vectors: Tensor) -> Adapter:
        """Return the LoRAs in vectors ``[n, P]`` as a bank without provenance."""
        values = {
            name: {
                "down": each.down.expand(len(vectors), -1, -1).contiguous(),
                "up": each.up.contiguous(),
            }
            for name, each in self.factors(vectors).items()
        }
        return Adapter(self.space, values)


def shared_factor(bank: Adapter) -> dict[str, Tensor]:
    """Return each layer's factor A ``[rank, in]`` of a bank's first LoRA."""
    return {name: params["down"][0].detach().clone() for name, params in bank.values.items()}

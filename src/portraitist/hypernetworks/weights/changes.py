"""How far two LoRAs' changes ``B A`` are apart, from their factors alone; and which LoRAs are near which.

Tasks are alike as their changes are, not as their factors (LoRAGen); a change of SDXL has a hundred times the numbers
of its factors, so that it is never built: ``<B1 A1, B2 A2>`` is the sum of ``(B1^T B2) * (A1 A2^T)``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from portraitist.hypernetworks.weights.layout import Factors, WeightLayout

_TINY = 1e-12
# Of a LoRA's numbers by size: those that change pictures most.
LARGEST = 0.01


def inner(first: Factors, second: Factors) -> Tensor:
    """Return the inner products of changes, pair by pair, ``[n]``; gradients pass."""
    ups = first.up.transpose(1, 2) @ second.up
    downs = first.down @ second.down.transpose(1, 2)
    return (ups * downs).sum((1, 2))


def cross(first: Factors, second: Factors) -> Tensor:
    """Return the inner products of all changes with all others, ``[n, m]``."""
    ups = torch.einsum("nok,mol->nmkl", first.up, second.up)
    downs = torch.einsum("nki,mli->nmkl", first.down, second.down)
    return (ups * downs).sum((2, 3))


@dataclass(frozen=True)
class ChangeErrors:
    """How well LoRAs were met.

    Attributes:
        by_layer: Relative Frobenius error of a layer's change, mean of all LoRAs: 0 exact, 1 as bad as no change.
        error: The same of all layers together, of each LoRA, ``[n]``.
        cosine: Cosine of all layers' changes together, of each LoRA, ``[n]``.
        largest: Relative error of the hundredth of numbers that are largest, of each LoRA, ``[n]``.
    """

    by_layer: Mapping[str, float]
    error: Tensor
    cosine: Tensor
    largest: Tensor

    @property
    def means(self) -> dict[str, float]:
        """Return the means of all LoRAs."""
        return {name: float(getattr(self, name).mean()) for name in ("error", "cosine", "largest")}


@torch.no_grad()
def compare(layout: WeightLayout, found: Tensor, wanted: Tensor) -> ChangeErrors:
    """Compare LoRAs with those that were wanted, vectors ``[n, P]`` both, in double precision."""
    one, other = layout.factors(found.double()), layout.factors(wanted.double())
    apart, sizes, products, own = {}, {}, {}, {}
    for name in layout.layers:
        products[name] = inner(one[name], other[name])
        sizes[name], own[name] = inner(other[name], other[name]), inner(one[name], one[name])
        apart[name] = (sizes[name] + own[name] - 2 * products[name]).clamp(min=0)
    total = {
        key: torch.stack(list(parts.values())).sum(0)
        for key, parts in (("apart", apart), ("size", sizes), ("product", products), ("own", own))
    }
    by_layer = {name: float((apart[name] / sizes[name].clamp(min=_TINY)).sqrt().mean()) for name in layout.layers}
    return ChangeErrors(
        by_layer,
        (total["apart"] / total["size"].clamp(min=_TINY)).sqrt(),
        total["product"] / (total["own"] * total["size"]).clamp(min=_TINY).sqrt(),
        _largest_error(found, wanted),
    )


def _largest_error(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the relative error of the numbers that are largest in what was wanted, ``[n]``."""
    places = wanted.abs().topk(max(1, int(LARGEST * wanted.shape[1])), dim=1).indices
    right = wanted.gather(1, places)
    return (found.gather(1, places) - right).norm(dim=1) / right.norm(dim=1).clamp(min=_TINY)


@torch.no_grad()
def cosines(layout: WeightLayout, first: Tensor, second: Tensor, centre: Tensor | None = None) -> Tensor:
    """Return the cosines of all changes with all others, all layers together, ``[n, m]``.

    Args:
        layout: Of the vectors.
        first: LoRAs ``[n, P]``.
        second: LoRAs ``[m, P]``.
        centre: A LoRA ``[P]`` whose change is taken off all of them first, such as the mean one: what all LoRAs have in
            common makes all of them alike.
    """
    one, other = layout.factors(first), layout.factors(second)
    middle = None if centre is None else layout.factors(centre.unsqueeze(0))
    products = first.new_zeros(len(first), len(second))
    sizes_one, sizes_other = first.new_zeros(len(first)), second.new_zeros(len(second))
    for name in layout.layers:
        a, b = one[name], other[name]
        if middle is not None:
            a, b = _without(a, middle[name]), _without(b, middle[name])
        products += cross(a, b)
        sizes_one += inner(a, a)
        sizes_other += inner(b, b)
    return products / (sizes_one[:, None] * sizes_other).clamp(min=_TINY).sqrt()


def _without(factors: Factors, centre: Factors) -> Factors:
    """Return the changes less another, exactly: of twice the rank."""
    up = torch.cat([factors.up, -centre.up.expand(len(factors.up), -1, -1)], 2)
    down = torch.cat([factors.down, centre.down.expand(len(factors.down), -1, -1)], 1)
    count = max(len(up), len(down))
    return Factors(up.expand(count, -1, -1), down.expand(count, -1, -1))

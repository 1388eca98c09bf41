"""Attaching adapters to frozen modules: run-time switching, scaling, merging, exact restoration.

A frozen module keeps its class, its place and its weights; only its ``forward`` is overridden on the instance, and
detaching deletes the override. Several adapters share one override and are added with their scales. Where several
modules apply one tensor (tied weights), a layer's change acts in all of them, as it does once it is merged.
"""

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.finding import adaptable_modules, find_module
from portraitist.adapters.layer import LayerSpec
from portraitist.adapters.site import Part, Site, Where
from portraitist.errors import BadConfig

Components = Mapping[str, nn.Module]


class Attachment:
    """The adapters attached to a set of components; several may be attached, each under its own name."""

    def __init__(self, components: Components) -> None:
        self.components = components
        self._sites: dict[nn.Module, Site] = {}
        self._adapters: dict[str, Adapter] = {}
        self._merged: list[tuple[Tensor, Tensor]] = []

    @property
    def names(self) -> list[str]:
        """Return the names of the attached adapters."""
        return list(self._adapters)

    def attach(self, adapter: Adapter, name: str = "default", scale: float = 1.0) -> "Attachment":
        """Add an adapter.

        Raises:
            BadConfig: If the name is taken, a layer does not exist in the components, or the method reads a weight that
                is held in fewer bits.
        """
        if name in self._adapters:
            raise BadConfig(f"an adapter named {name!r} is attached already; detach it first or choose another name")
        self._require_unmerged("attaching another")
        modules = {layer: find_module(self.components, adapter.layers[layer].spec) for layer in adapter.values}
        for layer_name, module in modules.items():
            if adapter.layers[layer_name].reads_weight:
                _require_plain(module.weight, f"{adapter.method.name} on {layer_name}")
        # All that can fail comes before the first module is changed.
        holders = _holders(self.components)
        parts: list[tuple[LayerSpec, Any, Part]] = []
        for layer_name, module in modules.items():
            known = adapter.layers[layer_name]
            twins = [(spec, twin) for spec, twin in holders[id(module.weight)] if _same_but_named(spec, known.spec)]
            for spec, holder in twins or [(known.spec, module)]:
                # A copy: what is bound belongs to this module, and the adapter may be on other bases too.
                layer = copy.copy(known)
                layer.bind(holder.weight, getattr(holder, "bias", None))
                parts.append((spec, holder, Part(name, layer, adapter.values[layer_name], scale)))
        for spec, holder, part in parts:
            if holder not in self._sites:
                self._sites[holder] = Site(spec, holder)
            self._sites[holder].active.append(part)
        self._adapters[name] = adapter
        return self

    def detach(self, name: str | None = None) -> None:
        """Remove one adapter, or all; the components are then bit for bit what they were."""
        self.unmerge()
        for gone in [name] if name is not None else self.names:
            self._part_names(gone)
            for module, site in list(self._sites.items()):
                site.active = [part for part in site.active if part.adapter != gone]
                if not site.active:
                    site.remove()
                    del self._sites[module]
            del self._adapters[gone]

    def set_scale(self, scale: float, name: str = "default") -> None:
        """Set the weight with which an adapter is added.

        Raises:
            BadConfig: If it is merged.
        """
        self._require_unmerged("changing a scale")
        for part in self._part_names(name):
            part.scale = scale

    def serve(self, samples: Sequence[int | None] | None, name: str = "default") -> None:
        """Say which adapter of a bank each sample of the coming batches gets.

        Args:
            samples: For each sample a number in the bank, or None for the frozen model. A batch that is a multiple as
                long repeats them, as the two halves of classifier-free guidance do. Without, a batch is equal groups
                in the bank's order again.
            name: The bank's name.

        Raises:
            BadConfig: If the adapter is no bank, has no such number, or is merged.
        """
        self._require_unmerged("naming the samples' adapters")
        parts = self._part_names(name)
        if samples is None:
            for part in parts:
                part.samples = None
            return
        for part in parts:
            shapes = part.layer.shapes()
            for key, value in part.params.items():
                if value.ndim == len(shapes[key]):
                    raise BadConfig(f"{name!r} is a single adapter, not a bank; its samples cannot have different ones")
                if not samples or any(number is not None and not 0 <= number < len(value) for number in samples):
                    raise BadConfig(f"the samples {list(samples)} name adapters that a bank of {len(value)} has not")
        numbers = torch.tensor([-1 if number is None else number for number in samples])
        for part in parts:
            part.samples = numbers.to(next(iter(part.params.values())).device)

    def confine(self, where: Where | None, name: str = "default") -> None:
        """Let an adapter act at some places only; None lets it act everywhere.

        Args:
            where: Called with a layer and its output; returns the share of the change that counts, a number or a tensor
                that broadcasts to the output.
            name: The adapter.

        Raises:
            BadConfig: If it is merged.
        """
        self._require_unmerged("letting an adapter act at some places only")
        for part in self._part_names(name):
            part.where = where

    def enable(self, enabled: bool = True, name: str | None = None) -> None:
        """Switch one adapter, or all, on or off.

        Raises:
            BadConfig: If they are merged.
        """
        self._require_unmerged("switching adapters on or off")
        for which in [name] if name is not None else self.names:
            for part in self._part_names(which):
                part.enabled = enabled

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Run the frozen components as they are for a while.

        Raises:
            BadConfig: If the adapters are merged.
        """
        self._require_unmerged("running the base without them")
        states = [(part, part.enabled) for site in self._sites.values() for part in site.active]
        try:
            for part, _ in states:
                part.enabled = False
            yield
        finally:
            for part, enabled in states:
                part.enabled = enabled

    @torch.no_grad()
    def merge(self) -> None:
        """Add the enabled adapters into the weights, so that the forward pass costs nothing extra.

        Raises:
            BadConfig: If an adapter holds a bank, which has no single weight.
        """
        if self._merged:
            return
        for site in self._sites.values():
            _require_plain(site.module.weight, f"merging into {site.spec.name}")
        done: set[int] = set()
        for site in self._sites.values():
            # What several modules share is saved, and changed, once.
            own = {
                name: tensor
                for name in ("weight", "bias")
                if (tensor := getattr(site.module, name, None)) is not None and id(tensor) not in done
            }
            done.update(map(id, own.values()))
            self._merged += [(tensor, tensor.data.clone()) for tensor in own.values()]
            try:
                changes = site.weight_changes()
            except BadConfig:
                self.unmerge()
                raise
            for name, tensor in own.items():
                _add_once_rounded(tensor, changes[name])
        self._set_overrides(False)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put the frozen weights back, bit for bit, and compute with adapters again."""
        if not self._merged:
            return
        for tensor, before in reversed(self._merged):
            tensor.data.copy_(before)
        self._merged.clear()
        self._set_overrides(True)

    def _set_overrides(self, on: bool) -> None:
        for site in self._sites.values():
            site.module.forward = site.forward if on else site.frozen_forward

    def _part_names(self, name: str) -> list[Part]:
        if name not in self._adapters:
            raise BadConfig(f"no adapter named {name!r} is attached; there are: {', '.join(self.names) or 'none'}")
        return [part for site in self._sites.values() for part in site.active if part.adapter == name]

    def _require_unmerged(self, what: str) -> None:
        if self._merged:
            raise BadConfig(f"adapters are merged into the base; unmerge before {what}")


def _holders(components: Components) -> dict[int, list[tuple[LayerSpec, Any]]]:
    """Return the modules that apply each weight, by its identity: several where weights are tied."""
    holders: dict[int, list[tuple[LayerSpec, Any]]] = defaultdict(list)
    for spec, module in adaptable_modules(components):
        holders[id(module.weight)].append((spec, module))
    return holders


def _same_but_named(first: LayerSpec, second: LayerSpec) -> bool:
    return replace(first, name=second.name, bias=second.bias) == second


def _require_plain(weight: Tensor, what: str) -> None:
    """Refuse what needs the numbers of a weight that is held in fewer bits."""
    if not weight.is_floating_point():
        raise BadConfig(
            f"{what} needs the weight, which this base holds in fewer bits; load the base in full, or take lora, krona"
            " or lidb"
        )


def _add_once_rounded(weight: Tensor, changes: Sequence[Tensor]) -> None:
    """Add in float32 at least, so that a half-precision weight is rounded once."""
    total = weight.data.to(torch.promote_types(weight.dtype, torch.float32))
    for change in changes:
        total = total + change.to(total)
    weight.data.copy_(total)


@contextmanager
def attached(components: Components, adapter: Adapter, scale: float = 1.0) -> Iterator[Attachment]:
    """Attach an adapter for the length of a ``with`` block."""
    attachment = Attachment(components).attach(adapter, scale=scale)
    try:
        yield attachment
    finally:
        attachment.detach()

"""Attaching adapters to frozen modules: run-time switching, scaling, merging, exact restoration.

A frozen module keeps its class, its place and its weights; only its ``forward`` is overridden on the instance, and
detaching deletes the override. Several adapters share one override and are added with their scales. Where several
modules apply one tensor (tied weights), a layer's change acts in all of them, as it does once it is merged.
"""

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.finding import adaptable_modules, find_module
from portraitist.adapters.layer import Binding, bank_size, bind_layers, require_plain
from portraitist.adapters.site import Part, Served, Site, Where
from portraitist.adapters.space import Values
from portraitist.adapters.spec import LayerSpec
from portraitist.errors import BadConfig

Components = Mapping[str, nn.Module]


class Attachment:
    """The adapters attached to a set of components; several may be attached, each under its own name."""

    def __init__(self, components: Components) -> None:
        self.components = components
        self._sites: dict[nn.Module, Site] = {}
        self._adapters: dict[str, _Attached] = {}
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
            raise BadConfig(f"an adapter named {name!r} is already attached; detach it first or choose another name")
        self._require_unmerged("attaching another")
        modules = {layer: find_module(self.components, spec) for layer, spec in adapter.space.specs.items()}
        # All that can fail comes before the first module is changed.
        holders = _holders(self.components)
        added = _Attached(adapter, {layer_name: [] for layer_name in modules})
        parts: list[tuple[LayerSpec, Any, Part]] = []
        for layer_name, module in modules.items():
            known = adapter.layers[layer_name]
            twins = [(spec, twin) for spec, twin in holders[id(module.weight)] if _same_but_named(spec, known.spec)]
            for spec, holder in twins or [(known.spec, module)]:
                # A copy: what is bound belongs to this module, and the adapter may be on other bases too.
                layer = copy.copy(known)
                part = Part(name, layer, adapter.values[layer_name], scale)
                parts.append((spec, holder, part))
                added.parts[layer_name].append(part)
        bind_layers([Binding.to(part.layer, holder) for _, holder, part in parts])
        for spec, holder, part in parts:
            if holder not in self._sites:
                self._sites[holder] = Site(spec, holder)
            self._sites[holder].active.append(part)
        self._adapters[name] = added
        return self

    def detach(self, name: str | None = None) -> None:
        """Remove one adapter, or all; the components are then bit for bit what they were."""
        self.unmerge()
        for gone in [name] if name is not None else self.names:
            self._attached(gone)
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
        attached = self._attached(name)
        for part in attached.all_parts():
            part.scale = scale
        attached.gather()

    def feed(self, name: str, values: Values | Tensor | None) -> None:
        """Give an adapter other values for the coming passes, such as a network's output, which gradients then reach.

        The modules are not looked at again; feed once for every backward pass, and after it.

        Args:
            name: The adapter.
            values: Of its space, leaves or tensors with history, of a single adapter or a bank; or all of them in a
                vector ``[P]`` or ``[N, P]`` as `Space.flatten` lays them out. None gives the adapter its own back.
                Samples that were named before with `serve` are to be named again.

        Raises:
            BadConfig: If they are not of its space, or it is merged.
        """
        self._require_unmerged("feeding values")
        attached = self._attached(name)
        space = attached.adapter.space
        if values is None:
            values = attached.adapter.values
        elif isinstance(values, Tensor):
            values = space.unflatten(values)
        else:
            space.check(values)
        attached.serving = None
        for layer, parts in attached.parts.items():
            for part in parts:
                part.params, part.served = values[layer], None

    def serve(
        self,
        samples: Sequence[int | None] | None,
        name: str = "default",
        scales: Sequence[float] | None = None,
    ) -> None:
        """Say which adapter of a bank each sample of the coming batches gets.

        Their parameters are gathered here, once for all passes: call it again when the bank's have changed.

        Args:
            samples: For each sample a number in the bank, or None for the frozen model. A batch that is a multiple as
                long repeats them, as the two halves of classifier-free guidance do. Without, a batch is equal groups
                in the bank's order again.
            name: The bank's name.
            scales: A strength for each sample, beside the bank's own; 1 when not given.

        Raises:
            BadConfig: If the adapter is no bank, has no such number, there are not as many strengths as samples, or it
                is merged.
        """
        self._require_unmerged("naming the samples' adapters")
        attached = self._attached(name)
        if samples is None:
            attached.serving = None
        else:
            size = attached.bank_size()
            if size is None:
                raise BadConfig(f"{name!r} is a single adapter, not a bank; its samples cannot have different ones")
            if not samples or any(number is not None and not 0 <= number < size for number in samples):
                raise BadConfig(f"the samples {list(samples)} name adapters that a bank of {size} does not have")
            strengths = [1.0] * len(samples) if scales is None else list(scales)
            if len(strengths) != len(samples):
                raise BadConfig(f"{len(samples)} samples need as many scales, not {len(strengths)}")
            served = [(0, 0.0) if number is None else (number, s) for number, s in zip(samples, strengths, strict=True)]
            attached.serving = torch.tensor([n for n, _ in served]), torch.tensor([s for _, s in served])
        attached.gather()

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
        for part in self._attached(name).all_parts():
            part.where = where

    def enable(self, enabled: bool = True, name: str | None = None) -> None:
        """Switch one adapter, or all, on or off.

        Raises:
            BadConfig: If they are merged.
        """
        self._require_unmerged("switching adapters on or off")
        for which in [name] if name is not None else self.names:
            for part in self._attached(which).all_parts():
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
            require_plain(site.module.weight, f"merging into {site.spec.name}")
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

    def _attached(self, name: str) -> "_Attached":
        if name not in self._adapters:
            raise BadConfig(f"no adapter named {name!r} is attached; there are: {', '.join(self.names) or 'none'}")
        return self._adapters[name]

    def _require_unmerged(self, what: str) -> None:
        if self._merged:
            raise BadConfig(f"adapters are merged into the base; unmerge before {what}")


@dataclass
class _Attached:
    """An adapter, its parts by layer (several where weights are tied), and the samples it was named for."""

    adapter: Adapter
    parts: dict[str, list[Part]]
    # For each sample a number in the bank and a strength.
    serving: tuple[Tensor, Tensor] | None = None

    def all_parts(self) -> list[Part]:
        return [part for parts in self.parts.values() for part in parts]

    def bank_size(self) -> int | None:
        return next((bank_size(part.layer, part.params) for part in self.all_parts()), None)

    def gather(self) -> None:
        """Gather the parameters of the samples that the adapter was named for."""
        there: dict[torch.device, tuple[Tensor, Tensor]] = {}  # sent to each device once, not once a layer
        for parts in self.parts.values():
            served = None
            if self.serving is not None:
                device = next(iter(parts[0].params.values())).device
                if device not in there:
                    there[device] = self.serving[0].to(device), self.serving[1].to(device)
                numbers, scales = there[device]
                served = Served(parts[0].layer, parts[0].params, numbers, parts[0].scale * scales)
            for part in parts:
                part.served = served


def _holders(components: Components) -> dict[int, list[tuple[LayerSpec, Any]]]:
    """Return the modules that apply each weight, by its identity: several where weights are tied."""
    holders: dict[int, list[tuple[LayerSpec, Any]]] = defaultdict(list)
    for spec, module in adaptable_modules(components):
        holders[id(module.weight)].append((spec, module))
    return holders


def _same_but_named(first: LayerSpec, second: LayerSpec) -> bool:
    return replace(first, name=second.name, bias=second.bias) == second


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

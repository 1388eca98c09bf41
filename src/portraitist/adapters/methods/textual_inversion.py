"""Textual Inversion: new embedding vectors for a few tokens, everything else frozen (arXiv 2208.01618).

The frozen embedding is read as it is, and the rows of the chosen tokens are exchanged in its output. No other row can
change, so nothing has to be restored after a step. Several vectors are several tokens, written one after the other in
the prompt.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from portraitist.adapters.layer import (
    AdapterLayer,
    Parameters,
    Scale,
    Way,
    bank_size,
    group_samples,
    require_plain,
    side_by_side,
    times,
)
from portraitist.adapters.layouts.textual_inversion import TEXTUAL_INVERSION as TEXTUAL_INVERSION_LAYOUT
from portraitist.adapters.layouts.textual_inversion import TextualInversionConfig, vector_shapes
from portraitist.adapters.method import Method
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import MissingBase


class InvertedEmbedding(AdapterLayer):
    """New rows of an embedding: ``offset [n, width]`` from the starting rows."""

    def __init__(self, spec: LayerSpec, config: TextualInversionConfig) -> None:
        super().__init__(spec)
        self.config = config
        self._rows: tuple[Tensor, Tensor] | None = None
        vector_shapes(spec, config)  # refuses what does not fit

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return one vector per token."""
        return vector_shapes(self.spec, self.config)

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return zeros: the tokens start as their starting tokens."""
        return {"offset": torch.zeros(self.shapes()["offset"])}

    def bind(self, weight: Tensor, bias: Tensor | None) -> None:
        """Remember the rows that are exchanged and those to start from."""
        require_plain(weight, f"textual-inversion on {self.spec.name}")
        ids = torch.tensor(self.config.token_ids, device=weight.device)
        starts = torch.tensor(self.config.starts, device=weight.device)
        self._rows = ids, (weight[starts] - weight[ids]).detach()

    def combined(self, parts: Sequence[Parameters], scales: Sequence[Scale]) -> dict[str, Tensor]:
        """Put the words of all parts side by side, moved part of the way from their frozen rows to the new ones."""
        moved = [self._moved(part["offset"], scale) for part, scale in zip(parts, scales, strict=True)]
        return {"offset": side_by_side(moved, 0)}

    def _moved(self, offset: Tensor, scale: Scale) -> Tensor:
        if isinstance(scale, float) and scale == 1.0:  # also where the frozen rows are not known
            return offset
        step = self._bound()[1].to(offset)
        return times(offset + step, scale) - step

    def act(self, way: Way, x: Tensor, y: Tensor, params: Parameters) -> Tensor:
        """Return the difference between new and frozen rows where a chosen token stands, ``[.., width]``."""
        ids, step = self._bound()
        change = params["offset"] + step.to(params["offset"])
        chosen = (x.unsqueeze(-1) == ids).to(change.dtype)
        bank = bank_size(self, params)
        if bank is None:
            return chosen @ change
        grouped = group_samples(chosen, bank)
        return (grouped.flatten(1, -2) @ change).reshape(*x.shape, -1)

    def delta_weight(self, params: Parameters) -> Tensor:
        """Return the change of the whole embedding, zero but for the chosen rows."""
        ids, step = self._bound()
        change = params["offset"] + step.to(params["offset"])
        empty = change.new_zeros(*change.shape[:-2], *self.spec.shape)
        return empty.index_copy(-2, ids, change)

    def _bound(self) -> tuple[Tensor, Tensor]:
        if self._rows is None:
            raise MissingBase(f"{self.spec.name}: the new vectors are offsets from rows of a base, which is not known")
        return self._rows


def _sum_config(configs: Sequence[TextualInversionConfig]) -> TextualInversionConfig | None:
    """Join the words of several adapters; None if they mean one word differently."""
    token_ids = tuple(token for config in configs for token in config.token_ids)
    if len(set(token_ids)) < len(token_ids):
        return None
    return TextualInversionConfig(token_ids, tuple(start for config in configs for start in config.starts))


TEXTUAL_INVERSION = Method(
    layout=TEXTUAL_INVERSION_LAYOUT,
    summary="new embedding vectors for a few tokens (Textual Inversion)",
    paper="arXiv 2208.01618",
    layers={Kind.EMBEDDING: InvertedEmbedding},
    sum_config=_sum_config,
)

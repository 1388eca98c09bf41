"""Regional prompting: each subject's words, and its adapter, confined to a region of the picture; nothing is trained.

Cross-attention is computed once for the whole picture's prompt and once for each region's, and the results are put
together by the regions' masks; an adapter of a region changes the layers' outputs inside its mask only. Where a layer's
output has no place (the timestep's projection) an adapter counts with the share of the picture that is its own.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from portraitist.adapters import Attachment
from portraitist.adapters.site import Where
from portraitist.adapters.spec import LayerSpec
from portraitist.bases import Base
from portraitist.bases.attention import cross_attentions, map_size
from portraitist.errors import BadConfig
from portraitist.photos import decode_photo

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention

# Until regions start, and with more of the whole picture's prompt in them, the picture is laid out for all; with less,
# each region lays out a picture of its own, and one subject is drawn across the border: `python -m benchmarks.regions`.
USUAL_START = 0.15
USUAL_BASE_RATIO = 0.5
_NAMED = {
    "left": (0.0, 0.0, 0.5, 1.0),
    "right": (0.5, 0.0, 1.0, 1.0),
    "top": (0.0, 0.0, 1.0, 0.5),
    "bottom": (0.0, 0.5, 1.0, 1.0),
}


@dataclass(frozen=True)
class Region:
    """A part of the picture with a prompt of its own.

    Attributes:
        place: ``left``, ``right``, ``top``, ``bottom``; a box ``x0,y0,x1,y1`` in shares of the picture; or a file, a
            picture of the size of those that are made, white inside.
        prompt: What is to be seen there.
        adapter: Name of the adapter that acts there only; None confines no adapter.
        base_ratio: How strongly the main prompt counts there, in [0, 1].
        start: Fraction of the sampling after which the region's own prompt counts, in [0, 1]. An
            adapter acts from the beginning.
    """

    place: str
    prompt: str
    adapter: str | None = None
    base_ratio: float = USUAL_BASE_RATIO
    start: float = USUAL_START

    def __post_init__(self) -> None:
        for name in ("base_ratio", "start"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadConfig(f"{name} of a region must be between 0 and 1, not {getattr(self, name):g}")

    def mask(self, size: int) -> Tensor:
        """Return the mask of a square picture, ``[size, size]`` in [0, 1].

        Raises:
            BadConfig: If there is no such place, it is empty, or a picture of it has another size.
        """
        mask = self._draw(size)
        if not mask.any():
            raise BadConfig(f"the region {self.place!r} is empty")
        return mask

    def _draw(self, size: int) -> Tensor:
        box = _NAMED.get(self.place) or _parse_box(self.place)
        if box is not None:
            return _draw_box(box, size)
        if not Path(self.place).is_file():
            raise BadConfig(
                f"there is no region {self.place!r}; give {', '.join(_NAMED)}, a box such as 0,0,0.5,1, or a picture"
                " that is white inside the region"
            )
        picture = decode_photo(Path(self.place)).convert("L")
        if picture.size != (size, size):
            raise BadConfig(
                f"the mask {self.place} is {picture.width} x {picture.height}, but pictures are {size} x {size}; save"
                " it at that size"
            )
        return torch.from_numpy(np.asarray(picture).copy()).float() / 255


def _parse_box(text: str) -> tuple[float, ...] | None:
    """Parse ``x0,y0,x1,y1``; None if it is none."""
    try:
        box = tuple(float(part) for part in text.split(","))
    except ValueError:
        return None
    if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
        raise BadConfig(f"a box is x0,y0,x1,y1 with 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1, not {text}")
    return box


def _draw_box(box: Sequence[float], size: int) -> Tensor:
    left, top, right, bottom = (round(side * size) for side in box)
    mask = torch.zeros(size, size)
    mask[top:bottom, left:right] = 1
    return mask


def check_regions(base: Base, regions: Sequence[Region], adapters: Sequence[str]) -> Tensor:
    """Return the regions' masks ``[n, size, size]``; where they overlap they share.

    Raises:
        BadConfig: If the base has no cross-attention, a mask does not fit, or an adapter is unknown or confined twice.
    """
    if not cross_attentions(base):
        raise BadConfig(
            f"{base.name} is a {base.family.title} model: it has no cross-attention, which regions need; leave out"
            " --region"
        )
    confined = [region.adapter for region in regions if region.adapter is not None]
    for name in confined:
        if name not in adapters:
            raise BadConfig(f"a region names the adapter {name!r}; there are: {', '.join(adapters) or 'none'}")
        if confined.count(name) > 1:
            raise BadConfig(f"{name} is confined to two regions; draw one mask for both, or leave it out of one")
    masks = torch.stack([region.mask(base.family.resolution) for region in regions])
    return masks / masks.sum(0).clamp(min=1.0)


@contextmanager
def regional(
    base: Base,
    attachment: Attachment,
    regions: Sequence[Region] | Sequence[Sequence[Region]],
    guided: bool,
) -> Iterator[None]:
    """Confine prompts and attached adapters to regions while the block samples.

    Args:
        base: The base.
        attachment: Its adapters, by the names that regions know.
        regions: The regions of every picture, or for each picture of the batch its own; without any, nothing is
            changed.
        guided: Whether the sampling pipeline puts unconditional rows before the conditional ones.

    Raises:
        BadConfig: As `check_regions`.
    """
    pictures = of_each(regions) or [[one for one in regions if isinstance(one, Region)]]
    if not any(pictures):
        yield
        return
    board = _Board(base, attachment.names, pictures, guided)
    layers = cross_attentions(base)
    own = {name: attn.processor for name, attn in layers.items()}
    hook = base.family.denoiser.register_forward_pre_hook(board.look_at_time, with_kwargs=True)
    try:
        for name in board.confined:
            attachment.confine(board.where(name), name)
        board.read_prompts()
        for attn in layers.values():
            attn.set_processor(_RegionalAttention(attn.processor, board))  # type: ignore[arg-type]
        yield
    finally:
        hook.remove()
        for name, attn in layers.items():
            attn.set_processor(own[name])
        for name in board.confined:
            attachment.confine(None, name)


def of_each(regions: Sequence[Region] | Sequence[Sequence[Region]]) -> list[list[Region]] | None:
    """Return each picture's regions where they have their own; None where one set is for all."""
    own = [list(each) for each in regions if not isinstance(each, Region)]
    return own if own and len(own) == len(regions) else None


class _Board:
    """Masks and prompts of regions, as layers ask for them.

    A picture's first region has the place 0, its second 1, and so on; a picture with fewer than others has nothing at
    the last places. What is for all pictures has one row, which is taken for each.
    """

    def __init__(self, base: Base, adapters: Sequence[str], pictures: Sequence[Sequence[Region]], guided: bool) -> None:
        self.base, self.guided = base, guided
        places = range(max(map(len, pictures)))
        size = base.family.resolution
        masks = [check_regions(base, each, adapters) if each else torch.zeros(0, size, size) for each in pictures]
        # [pictures, places, size, size]
        self.masks = torch.stack([F.pad(mask, (0, 0, 0, 0, 0, len(places) - len(mask))) for mask in masks])
        self.masks = self.masks.to(base.device)
        # By adapter, at which place of each picture it acts; None where it acts everywhere.
        self.confined: dict[str, list[int | None]] = {
            name: [next((i for i, one in enumerate(each) if one.adapter == name), None) for each in pictures]
            for name in dict.fromkeys(one.adapter for each in pictures for one in each if one.adapter is not None)
        }
        self._prompts = [[each[place].prompt if place < len(each) else "" for each in pictures] for place in places]
        self._heard = self._table([[1 - one.base_ratio for one in each] for each in pictures])
        self._starts = self._table([[one.start for one in each] for each in pictures])
        # How far the noise is on its way to the picture; a layer that is called alone takes part in everything.
        self._progress = 1.0
        self.states: list[Tensor] = []
        scale = base.pipeline.vae_scale_factor
        self._latents = (size // scale, size // scale)
        self._resized: dict[tuple[int, int], Tensor] = {}
        self._reading: int | None = None
        self._word_layers = {
            f"{base.family.denoiser_name}.{name}.{key}" for name in cross_attentions(base) for key in ("to_k", "to_v")
        }

    def _table(self, values: Sequence[Sequence[float]]) -> Tensor:
        """Return numbers of regions as ``[pictures, places]``, zeros where a picture has no region."""
        table = torch.zeros(*self.masks.shape[:2], dtype=torch.float64)
        for row, own in enumerate(values):
            table[row, : len(own)] = torch.tensor(own, dtype=torch.float64)
        return table

    @torch.no_grad()
    def read_prompts(self) -> None:
        """Encode the prompts of every place, with the adapters of their regions on the text encoders."""
        for place, prompts in enumerate(self._prompts):
            with self.reading(place):
                self.states.append(self.base.family.encode_prompts(prompts)["encoder_hidden_states"])

    @contextmanager
    def reading(self, place: int) -> Iterator[None]:
        """Say that the words layers read in the block are those of the regions at a place."""
        self._reading = place
        try:
            yield
        finally:
            self._reading = None

    def where(self, name: str) -> Where:
        """Return the function that says where an adapter acts in a layer's output."""
        places = self.confined[name]

        def share(spec: LayerSpec, y: Tensor) -> Tensor | float:
            if spec.name in self._word_layers or spec.name.partition(".")[0] in self.base.family.text_encoders:
                heard = [1.0 if place is None else float(self._reading == place) for place in places]
                return heard[0] if len(set(heard)) == 1 else self._for_rows(torch.tensor(heard), y)
            if y.ndim == 4:
                return self._for_rows(self._own(self._at(y.shape[-2], y.shape[-1]), places)[:, None].to(y.dtype), y)
            if y.ndim == 3:
                return self._for_rows(self._own(self.rows(y), places), y)
            means = self._own(self.masks, places).mean((1, 2))
            return float(means) if len(means) == 1 else self._for_rows(means, y)

        return share

    def _own(self, masks: Tensor, places: Sequence[int | None]) -> Tensor:
        """Return each picture's mask at its place, ones where it has none, from ``[pictures, places, ...]``."""
        return torch.stack(
            [torch.ones_like(own[0]) if place is None else own[place] for own, place in zip(masks, places, strict=True)]
        )

    def _for_rows(self, values: Tensor, y: Tensor) -> Tensor:
        """Return one value a picture, or a map of them, for each row of an output, to be multiplied with it."""
        if len(values) > 1:
            times, left = divmod(len(y), len(values))
            if left:
                raise ValueError(f"there are regions for {len(values)} pictures, but the batch has {len(y)}")
            values = values.repeat(times, *(1,) * (values.ndim - 1))
        return values.to(y).reshape(*values.shape, *(1,) * (y.ndim - values.ndim))

    def rows(self, y: Tensor) -> Tensor:
        """Return all masks for a sequence of pixels ``[n, pixels, width]``, as ``[pictures, places, pixels]``."""
        return self._at(*map_size(y.shape[1], self._latents)).flatten(2).to(y.dtype)

    def look_at_time(self, denoiser: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        """See where on its way the noise is; before each pass of the denoiser."""
        step = torch.as_tensor(named["timestep"] if "timestep" in named else args[1]).flatten()[0]
        self._progress = 1 - float(step) / self.base.pipeline.scheduler.config.num_train_timesteps

    def shares(self, y: Tensor) -> dict[int, Tensor]:
        """Return how much of the words at a place each pixel hears, ``[rows, pixels, 1]``; of those that are heard."""
        masks, heard = self.rows(y), self._heard * (self._starts <= self._progress)
        return {
            place: self._for_rows(masks[:, place] * heard[:, place, None].to(masks), y)
            for place in range(masks.shape[1])
            if bool((heard[:, place] > 0).any())
        }

    def alike(self, rows: int) -> int:
        """Return how many rows, the first, are the same in every region: unconditional ones, if no adapter differs."""
        return rows // 2 if self.guided and not self.confined else 0

    def words(self, states: Tensor, place: int) -> Tensor:
        """Return the words at a place instead of the whole pictures', unconditional rows left as they are."""
        free = len(states) // 2 if self.guided else 0
        own = self.states[place].to(states.dtype).expand(len(states) - free, -1, -1)
        return torch.cat([states[:free], own])

    def _at(self, height: int, width: int) -> Tensor:
        """Return all masks at a layer's size, ``[pictures, places, height, width]``."""
        if (height, width) not in self._resized:
            self._resized[height, width] = F.interpolate(self.masks, size=(height, width), mode="area")
        return self._resized[height, width]


class _RegionalAttention:
    """Cross-attention to the whole picture's words and to every region's, put together by masks."""

    def __init__(self, inner: Any, board: _Board) -> None:
        self.inner, self.board = inner, board

    def __call__(
        self,
        attn: "Attention",
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Attend; the interface of diffusers."""
        board = self.board
        whole: Tensor = self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        alike = board.alike(len(whole))
        shares = board.shares(whole[alike:])
        if not shares:
            return whole
        total = whole[alike:] * (1 - torch.stack(list(shares.values())).sum(0))
        for place, share in shares.items():
            with board.reading(place):
                words = board.words(encoder_hidden_states, place)[alike:]
                mask = None if attention_mask is None else attention_mask[alike:]
                part: Tensor = self.inner(attn, hidden_states[alike:], words, mask, temb)
            total = total + part * share
        return torch.cat([whole[:alike], total])

"""Painting: from specifications to pixels, in batches of tensors on any device.

What is to be painted is first written down as arrays (`plan`), which needs no artwork and no device, so that worker
processes can do it; a `Painter` holds the drawn artwork on a device and turns a plan into pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from portraitist.randomness import numpy_generator
from portraitist.toyland.world.colours import CLOTH
from portraitist.toyland.world.hands import cats, monsters, people, robots
from portraitist.toyland.world.hands.layers import Layer
from portraitist.toyland.world.identities import KINDS
from portraitist.toyland.world.pictures import RESOLUTION, Appearance, PictureSpec
from portraitist.toyland.world.scenes import PLACES, PLAIN, SCENES
from portraitist.toyland.world.styles import STYLES
from portraitist.toyland.world.vector import draw_picture, draw_tile, slots

_FIGURE = 144  # side of a drawn figure in pixels: about as large as it is in a picture
_SMALL_FIGURE = 96  # the same where two are in a picture
_SMALL = 0.81  # figures no higher than this are shrunk first
_SCENE = 144  # side of a drawn scene; a picture shows a part of it
VARIANTS = 40  # of each scene
_SHADOW, _SHADOW_SHIFT = 0.3, (3, 3)
_BRIGHTNESS = 0.06
_AT_ONCE = 64

_HANDS = {"person": people, "cat": cats, "robot": robots, "monster": monsters}


@dataclass(frozen=True)
class FigurePlan:
    """Figures of one kind that are to be painted.

    Attributes:
        picture: Which picture each is in: int64 ``[n]``.
        front: Whether it stands in front of another: bool ``[n]``.
        variants: Which variant of every layer is drawn, its number of variants where none is: int64 ``[n, layers]``.
        colours: Open colours: uint8 ``[n, slots, 3]``.
        places: Where the figure stands: float32 ``[n, 2, 3]``, from the picture's coordinates to the figure's, both
            from -1 to 1 as in `torch.nn.functional.affine_grid`.
        small: Whether it is shrunk first: bool ``[n]``.
        lights: What the scene's light does to it: float32 ``[n, 3]``.
    """

    picture: np.ndarray
    front: np.ndarray
    variants: np.ndarray
    colours: np.ndarray
    places: np.ndarray
    small: np.ndarray
    lights: np.ndarray


@dataclass(frozen=True)
class Plan:
    """Pictures that are to be painted.

    Attributes:
        scenes: Number of the drawn scene, -1 where the backdrop is plain: int64 ``[n]``.
        corners: Upper left corner of what is seen of it: int64 ``[n, 2]``.
        mirrored: Whether it is seen the other way round: bool ``[n]``.
        backdrops: Colour of a plain backdrop: uint8 ``[n, 3]``.
        lights: What the light does to the whole picture: float32 ``[n, 3]``.
        styles: Number of the style: int64 ``[n]``.
        figures: Who is in them, by kind; of two in a picture the right one stands in front, or who holds something.
    """

    scenes: np.ndarray
    corners: np.ndarray
    mirrored: np.ndarray
    backdrops: np.ndarray
    lights: np.ndarray
    styles: np.ndarray
    figures: dict[str, FigurePlan]

    def __len__(self) -> int:
        return len(self.scenes)


@dataclass(frozen=True)
class _Index:
    """Numbers of a kind's variants, layer by layer, and of its open colours."""

    layers: tuple[tuple[str, Mapping[str, int]], ...]
    slots: tuple[str, ...]


@cache
def _layers(kind: str) -> tuple[Layer, ...]:
    return _HANDS[kind].draw_layers()


@cache
def _index(kind: str) -> _Index:
    layers = _layers(kind)
    names = {slot for layer in layers for fragment in layer.variants.values() for slot in slots(fragment)}
    numbered = tuple((layer.part, {name: i for i, name in enumerate(layer.variants)}) for layer in layers)
    return _Index(numbered, tuple(sorted(names)))


def plan(specs: Sequence[PictureSpec]) -> Plan:
    """Write down what is to be painted for pictures."""
    count = len(specs)
    scenes, mirrored = np.full(count, -1, np.int64), np.zeros(count, bool)
    corners, backdrops = np.zeros((count, 2), np.int64), np.zeros((count, 3), np.uint8)
    lights, styles = np.ones((count, 3), np.float32), np.zeros(count, np.int64)
    figures: dict[str, list[_Figure]] = {kind: [] for kind in KINDS}
    for row, spec in enumerate(specs):
        rng = numpy_generator(spec.seed, "scene")
        if spec.scene == PLAIN:
            backdrops[row] = CLOTH[spec.colour].draw(rng)
            light = np.ones(3)
        else:
            scenes[row] = SCENES.index(spec.scene) * VARIANTS + int(rng.integers(VARIANTS))
            light = np.array(PLACES[spec.scene].light)
        corners[row] = rng.integers(0, _SCENE - RESOLUTION + 1, 2)
        mirrored[row] = rng.random() < 0.5
        lights[row] = 1 + rng.uniform(-_BRIGHTNESS, _BRIGHTNESS, 3)
        styles[row] = _STYLE_NUMBERS[spec.style]
        front = _in_front(spec.subjects)
        for number, subject in enumerate(spec.subjects):
            figures[subject.identity.kind].append(_Figure(row, subject, light, number == front))
    drawn = {kind: _plan_figures(kind, listed) for kind, listed in figures.items() if listed}
    return Plan(scenes, corners, mirrored, backdrops, lights, styles, drawn)


_STYLE_NUMBERS = {style: number for number, style in enumerate(STYLES)}


@dataclass(frozen=True)
class _Figure:
    """One figure of a plan: in which picture, who, in what light, and whether in front of another."""

    picture: int
    subject: Appearance
    light: np.ndarray
    front: bool


def _in_front(subjects: Sequence[Appearance]) -> int | None:
    """Return which of two stands in front, nothing for one alone or for nobody."""
    if len(subjects) < 2:
        return None
    return 0 if subjects[0].drawn["held"] else 1


def _plan_figures(kind: str, listed: Sequence[_Figure]) -> FigurePlan:
    index = _index(kind)
    variants = np.empty((len(listed), len(index.layers)), np.int64)
    colours = np.zeros((len(listed), len(index.slots), 3), np.uint8)
    for row, figure in enumerate(listed):
        parts, palette = figure.subject.drawn, figure.subject.palette
        variants[row] = [numbers.get(parts.get(part, ""), len(numbers)) for part, numbers in index.layers]
        for column, slot in enumerate(index.slots):
            colours[row, column] = palette.get(slot, (0, 0, 0))
    return FigurePlan(
        picture=np.array([figure.picture for figure in listed]),
        front=np.array([figure.front for figure in listed]),
        variants=variants,
        colours=colours,
        places=np.stack([_place(figure.subject) for figure in listed]),
        small=np.array([figure.subject.height <= _SMALL for figure in listed]),
        lights=np.stack([figure.light for figure in listed]).astype(np.float32),
    )


def _place(subject: Appearance) -> np.ndarray:
    """Return the affine map from the picture's coordinates to the figure's, ``[2, 3]``."""
    angle = np.deg2rad(subject.tilt)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / subject.height
    centre = np.array([2 * subject.x - 1, 2 * subject.y - 1])
    placed = np.concatenate([turn, (-turn @ centre)[:, None]], 1)
    if subject.mirrored:
        placed[0] *= -1
    return placed.astype(np.float32)


@dataclass(frozen=True)
class _Sheet:
    """The variants of one layer on a device, all cut to the same rectangle; the last one is empty.

    Attributes:
        erases: Whether it takes away what is behind it.
        window: Rows and columns of the rectangle.
        fixed: uint8 ``[variants + 1, 4, h, w]``.
        weights: uint8 ``[variants + 1, slots, h, w]``.
        slots: Which of the kind's open colours these weights are for.
    """

    erases: bool
    window: tuple[slice, slice]
    fixed: Tensor
    weights: Tensor
    slots: list[int]


def _draw_sheet(layer: Layer, kind_slots: Sequence[str], device: torch.device) -> _Sheet:
    tiles = [draw_tile(fragment, _FIGURE) for fragment in layer.variants.values()]
    seen = [tile for tile in tiles if tile.fixed.size]
    top, left = min(tile.top for tile in seen), min(tile.left for tile in seen)
    bottom = max(tile.top + tile.fixed.shape[0] for tile in seen)
    right = max(tile.left + tile.fixed.shape[1] for tile in seen)
    used = sorted({slot for tile in tiles for slot in tile.weights})
    fixed = np.zeros((len(tiles) + 1, 4, bottom - top, right - left), np.float32)
    weights = np.zeros((len(tiles) + 1, len(used), bottom - top, right - left), np.float32)
    for number, tile in enumerate(tiles):
        h, w = tile.fixed.shape[:2]
        window = slice(tile.top - top, tile.top - top + h), slice(tile.left - left, tile.left - left + w)
        fixed[number][:, window[0], window[1]] = tile.fixed.transpose(2, 0, 1)
        for slot, weight in tile.weights.items():
            weights[number, used.index(slot)][window] = weight
    return _Sheet(
        layer.erases,
        (slice(top, bottom), slice(left, right)),
        _bytes(fixed).to(device),
        _bytes(weights).to(device),
        [kind_slots.index(slot) for slot in used],
    )


def _bytes(values: np.ndarray) -> Tensor:
    return torch.from_numpy((values * 255).round().clip(0, 255).astype(np.uint8))


def _draw_scene(scene: str, number: int) -> np.ndarray:
    fragment = PLACES[scene].draw(numpy_generator(number, f"variant of {scene}"))
    return np.asarray(draw_picture(fragment, _SCENE))[..., :3]


class Painter:
    """The artwork, drawn once and held on a device.

    Args:
        device: Where pictures are painted.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._sheets = {
            kind: tuple(_draw_sheet(layer, _index(kind).slots, self.device) for layer in _layers(kind))
            for kind in KINDS
        }
        drawn = [_draw_scene(scene, number) for scene in PLACES for number in range(VARIANTS)]
        self._scenes = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).contiguous().to(self.device)

    @torch.no_grad()
    def paint(self, plan: Plan) -> Tensor:
        """Paint pictures, uint8 ``[n, 3, 128, 128]``; the same plan always gives the same pictures."""
        pictures = self._backgrounds(plan)
        cut_outs = {kind: self._figures(kind, figures) for kind, figures in plan.figures.items()}
        for front in (False, True):
            for kind, figures in plan.figures.items():
                rows = np.flatnonzero(figures.front == front)
                if len(rows):
                    chosen, where = (torch.from_numpy(i).to(self.device) for i in (rows, figures.picture[rows]))
                    pictures[where] = _lay_over(pictures[where], cut_outs[kind][chosen])
        pictures = (pictures * self._column(plan.lights)).clamp(0, 1)
        for style, number in _STYLE_NUMBERS.items():
            rows = np.flatnonzero(plan.styles == number)
            if len(rows) == len(plan):
                pictures = STYLES[style](pictures)
            elif len(rows) and number:
                chosen = torch.from_numpy(rows).to(self.device)
                pictures[chosen] = STYLES[style](pictures[chosen])
        return (pictures * 255).round().clamp(0, 255).to(torch.uint8)

    def _backgrounds(self, plan: Plan) -> Tensor:
        """Return what is behind everybody, ``[n, 3, 128, 128]`` from 0 to 1."""
        count = len(plan)
        tones = torch.linspace(1.12, 0.88, RESOLUTION, device=self.device).view(1, 1, -1, 1)
        pictures = (self._column(plan.backdrops.astype(np.float32) / 255) * tones).clamp(0, 1)
        pictures = pictures.expand(count, 3, RESOLUTION, RESOLUTION).clone()
        rows = np.flatnonzero(plan.scenes >= 0)
        if len(rows):
            reach = np.arange(RESOLUTION)
            across = np.where(plan.mirrored[rows, None], reach[::-1], reach) + plan.corners[rows, 1:]
            down = reach + plan.corners[rows, :1]
            places = (plan.scenes[rows, None, None], slice(None), down[:, :, None], across[:, None, :])
            scene, _, y, x = (torch.from_numpy(i).to(self.device) if not isinstance(i, slice) else i for i in places)
            seen = self._scenes.permute(0, 2, 3, 1)[scene, y, x]
            pictures[torch.from_numpy(rows).to(self.device)] = seen.permute(0, 3, 1, 2).float() / 255
        return pictures

    def _figures(self, kind: str, figures: FigurePlan) -> Tensor:
        """Return figures in their places, premultiplied ``[n, 4, 128, 128]``."""
        canvas = torch.zeros(len(figures.picture), 4, _FIGURE, _FIGURE, device=self.device)
        colours = torch.from_numpy(figures.colours).to(self.device).float() / 255
        for number, sheet in enumerate(self._sheets[kind]):
            variants = figures.variants[:, number]
            rows = np.flatnonzero(variants < len(sheet.fixed) - 1)
            if not len(rows):
                continue
            which, chosen = (torch.from_numpy(i).to(self.device) for i in (rows, variants[rows]))
            part = sheet.fixed[chosen].float() / 255
            if sheet.slots:
                weights = sheet.weights[chosen].float() / 255
                part[:, :3] += torch.einsum("nshw,nsc->nchw", weights, colours[which][:, sheet.slots])
            behind = canvas[:, :, sheet.window[0], sheet.window[1]]
            covered = behind[which] * (1 - part[:, 3:])
            behind[which] = covered if sheet.erases else covered + part
        canvas[:, :3] *= self._column(figures.lights)
        return self._put(canvas, figures)

    def _put(self, canvas: Tensor, figures: FigurePlan) -> Tensor:
        """Turn, scale and move figures to where they are in their pictures."""
        placed = torch.empty(len(canvas), 4, RESOLUTION, RESOLUTION, device=self.device)
        for small in (False, True):
            rows = np.flatnonzero(figures.small == small)
            if len(rows):
                chosen = torch.from_numpy(rows).to(self.device)
                drawn = canvas[chosen]
                if small:
                    drawn = F.interpolate(drawn, size=(_SMALL_FIGURE,) * 2, mode="bilinear", antialias=True)
                theta = torch.from_numpy(figures.places[rows]).to(self.device)
                grid = F.affine_grid(theta, [len(rows), 4, RESOLUTION, RESOLUTION], align_corners=False)
                placed[chosen] = F.grid_sample(drawn, grid, align_corners=False)
        return placed

    def _column(self, colours: np.ndarray) -> Tensor:
        return torch.from_numpy(colours).to(self.device)[:, :, None, None]


def _lay_over(pictures: Tensor, cut_outs: Tensor) -> Tensor:
    """Lay figures over pictures, with a soft shadow behind them."""
    coarse = F.avg_pool2d(cut_outs[:, 3:], 8)
    shadow = F.interpolate(F.avg_pool2d(coarse, 3, 1, 1), scale_factor=8, mode="bilinear", align_corners=False)
    down, right = _SHADOW_SHIFT
    shadow = F.pad(shadow, (right, -right, down, -down))
    return pictures * (1 - _SHADOW * shadow) * (1 - cut_outs[:, 3:]) + cut_outs[:, :3]


@cache
def _painter() -> Painter:
    return Painter()


def render(spec: PictureSpec, side: int = RESOLUTION) -> Image.Image:
    """Paint one picture; the same specification always gives the same pixels."""
    return render_all([spec], side)[0]


def render_all(specs: Sequence[PictureSpec], side: int = RESOLUTION) -> list[Image.Image]:
    """Paint pictures, a few at a time; those of another side than the world's are resized."""
    painted = [_painter().paint(plan(specs[i : i + _AT_ONCE])) for i in range(0, len(specs), _AT_ONCE)]
    images = [Image.fromarray(pixels) for pixels in torch.cat(painted).permute(0, 2, 3, 1).numpy()]
    if side == RESOLUTION:
        return images
    return [image.resize((side, side), Image.Resampling.LANCZOS) for image in images]

"""The examiner: a small classifier, trained on real renders, that reads generated pictures for the exam."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from portraitist.errors import BadFile
from portraitist.evaluation.encoders import ResidualStage
from portraitist.files import sha256, write_aside
from portraitist.randomness import epoch_order, numpy_generator, torch_generator
from portraitist.toyland.first.autoencoder import to_tensor
from portraitist.toyland.first.config import ExaminerConfig
from portraitist.toyland.first.world.captions import COLOURED_STYLES
from portraitist.toyland.first.world.identities import KINDS, ROBOT_COLOURS
from portraitist.toyland.first.world.scenes import SCENES
from portraitist.toyland.first.world.styles import STYLES
from portraitist.training.loop.loop import ParameterGroup

ALONE = ("centre",)
PAIR = ("left", "right")
# Every question with its possible answers; kind and colour are asked for each place a subject may stand at.
HEADS: dict[str, tuple[str, ...]] = {
    "number": ("one", "two"),
    "scene": tuple(SCENES),
    "style": tuple(STYLES),
    **{f"{place} kind": KINDS for place in (*ALONE, *PAIR)},
    **{f"{place} colour": ROBOT_COLOURS for place in (*ALONE, *PAIR)},
}
UNASKED = -1
WEIGHTS, CONFIG = "model.safetensors", "config.json"
# The examiner of the package.
BUILTIN = Path(str(files("portraitist.toyland.first"))) / "builtin" / "examiner"
# Weights of a binomial blur, one pixel wide.
_BINOMIAL = (0.25, 0.5, 0.25)


@dataclass(frozen=True)
class Reading:
    """What a picture shows, or is said to show.

    Attributes:
        kinds: Kinds of the subjects, left to right.
        colours: Colour of each robot, empty for other subjects.
        scene: The scene.
        style: The style.
    """

    kinds: tuple[str, ...]
    colours: tuple[str, ...]
    scene: str
    style: str

    @classmethod
    def from_labels(cls, labels: Mapping[str, Any]) -> "Reading":
        """Return the truth about a drawn picture; robots have no colour in styles without colours."""
        coloured = labels["style"] in COLOURED_STYLES
        pairs = zip(labels["kinds"], labels["colours"], strict=True)
        colours = tuple(colour if kind == "robot" and coloured else "" for kind, colour in pairs)
        return cls(tuple(labels["kinds"]), colours, labels["scene"], labels["style"])

    @property
    def places(self) -> tuple[str, ...]:
        """Return where the subjects stand."""
        return ALONE if len(self.kinds) == 1 else PAIR


def to_targets(readings: Sequence[Reading]) -> dict[str, Tensor]:
    """Return the index of the right answer of every head, ``[n]`` each; `UNASKED` where the question has no answer."""
    targets = {head: torch.full((len(readings),), UNASKED, dtype=torch.long) for head in HEADS}
    for row, reading in enumerate(readings):
        answers = {
            "number": HEADS["number"][len(reading.kinds) - 1],
            "scene": reading.scene,
            "style": reading.style,
            **{f"{place} kind": kind for place, kind in zip(reading.places, reading.kinds, strict=True)},
            **{f"{place} colour": colour for place, colour in zip(reading.places, reading.colours, strict=True)},
        }
        for head, answer in answers.items():
            if answer:
                targets[head][row] = HEADS[head].index(answer)
    return targets


class Examiner(nn.Module):
    """A residual network from pictures ``[n, 3, 64, 64]`` in [-1, 1] to logits of every head.

    Attributes:
        settings: Its channels and resolution.
        revision: A hash of the weights it was loaded with.
    """

    def __init__(self, channels: Sequence[int], resolution: int) -> None:
        super().__init__()
        self.revision = "untrained"
        self.settings: dict[str, Any] = {"channels": list(channels), "resolution": resolution}
        self.stem = nn.Conv2d(3, channels[0], 3, stride=2, padding=1)
        self.stages = nn.ModuleList(_Stage(a, b) for a, b in pairwise(channels))
        side = resolution >> len(channels)
        # No pooling: left and right are among the questions.
        self.head = nn.Linear(channels[-1] * side**2, sum(map(len, HEADS.values())))

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return logits ``[n, answers]`` by head."""
        hidden = self.stem(pixels)
        for stage in self.stages:
            hidden = stage(hidden)
        logits = self.head(F.silu(hidden).flatten(1))
        return dict(zip(HEADS, logits.split([len(answers) for answers in HEADS.values()], dim=1), strict=True))

    @torch.no_grad()
    def read(self, images: np.ndarray, batch_size: int = 100) -> list[Reading]:
        """Read uint8 pictures ``[n, h, w, 3]``; those of another size are resized."""
        device, side = self.head.weight.device, self.settings["resolution"]
        readings = []
        for start in range(0, len(images), batch_size):
            pixels = to_tensor(images[start : start + batch_size]).to(device)
            if pixels.shape[-2:] != (side, side):
                pixels = F.interpolate(pixels, (side, side), mode="bicubic", antialias=True)
            logits = self(pixels)
            answers = {head: values.argmax(1).tolist() for head, values in logits.items()}
            rows = range(len(answers["number"]))
            readings += [_reading({head: HEADS[head][answers[head][row]] for head in HEADS}) for row in rows]
        return readings

    def save(self, folder: Path) -> None:
        """Write weights and settings into a folder."""
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        with write_aside(folder / WEIGHTS) as temporary:
            save_file(weights, temporary)
        with write_aside(folder / CONFIG) as temporary:
            temporary.write_text(json.dumps({**self.settings, "heads": HEADS}, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path = BUILTIN) -> "Examiner":
        """Read an examiner that `save` wrote, the package's when no folder is given.

        Raises:
            BadFile: If the folder holds none, or one that answers other questions.
        """
        try:
            settings = json.loads((folder / CONFIG).read_text())
            heads = {head: tuple(answers) for head, answers in settings.pop("heads").items()}
            examiner = cls(**settings)
            examiner.load_state_dict(load_file(folder / WEIGHTS))
            examiner.revision = sha256(folder / WEIGHTS)[:16]
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise BadFile(f"no examiner can be read from {folder} ({error}); train it: stage examiner") from error
        if heads != HEADS:
            raise BadFile(f"the examiner in {folder} answers other questions than today's; train it anew")
        return examiner.eval()


class _Stage(ResidualStage):
    """A stage that bends what comes in first."""

    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(F.silu(hidden))


def _reading(answers: Mapping[str, str]) -> Reading:
    places = ALONE if answers["number"] == "one" else PAIR
    kinds = tuple(answers[f"{place} kind"] for place in places)
    colours = tuple(
        answers[f"{place} colour"] if kind == "robot" else "" for place, kind in zip(places, kinds, strict=True)
    )
    return Reading(kinds, colours, answers["scene"], answers["style"])


class ExaminerTask:
    """Answer every question about pictures that were blurred, moved and disturbed as a generator might."""

    def __init__(
        self,
        model: Examiner,
        images: np.ndarray,
        readings: Sequence[Reading],
        config: ExaminerConfig,
        reconstructions: np.ndarray | None = None,
    ) -> None:
        """Set up the task.

        Args:
            model: The network to train.
            images: uint8 pictures ``[n, h, w, 3]``.
            readings: The truth about each.
            config: Settings of the stage.
            reconstructions: The first pictures as the autoencoder gives them back; they take the originals' place.
        """
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = model.train()
        self.images, self.config = images, config
        self.reconstructions = images[:0] if reconstructions is None else reconstructions
        self.targets = to_targets(readings)
        self.device = model.head.weight.device

    def groups(self) -> Sequence[ParameterGroup]:
        """Return matrices with weight decay and everything else without."""
        named = dict(self.model.named_parameters())
        matrices = {name: p for name, p in named.items() if p.ndim > 1}
        others = {name: p for name, p in named.items() if p.ndim <= 1}
        rate = self.config.learning_rate
        return [ParameterGroup(matrices, rate, self.config.weight_decay), ParameterGroup(others, rate)]

    def identity(self) -> dict[str, Any]:
        """Return the stage's settings and the number of pictures."""
        return {"stage": "examiner", "pictures": len(self.images), **self.config.model_dump(mode="json")}

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Read one batch."""
        size, seed = self.config.batch_size, self.config.seed
        chosen = np.sort(epoch_order(len(self.images), seed, "pictures", step * size, size))
        targets = {head: answers[torch.from_numpy(chosen)] for head, answers in self.targets.items()}
        pixels, mirrored = self._augment(self._pixels(chosen), step)
        targets = mirror_targets(targets, mirrored)
        logits = self.model(pixels.to(self.device, memory_format=torch.channels_last))
        losses, verdicts = [], []
        for head, values in logits.items():
            answers = targets[head].to(self.device)
            losses.append(F.cross_entropy(values, answers, ignore_index=UNASKED, reduction="sum") / size)
            verdicts.append((values.argmax(1) == answers)[answers != UNASKED])
        return {"loss": torch.stack(losses).sum(), "accuracy": torch.cat(verdicts).float().mean()}

    def _pixels(self, chosen: np.ndarray) -> Tensor:
        known = len(self.reconstructions)
        rows = [self.reconstructions[i] if i < known else self.images[i] for i in chosen]
        return to_tensor(np.stack(rows))

    def _augment(self, pixels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Mirror, move, blur and disturb; return the pictures and which of them are mirrored."""
        config, count, side = self.config, len(pixels), pixels.shape[-1]
        rng = numpy_generator(config.seed, "augmentation", step)
        mirrored = torch.from_numpy(rng.random(count) < 0.5)
        pixels = torch.where(mirrored[:, None, None, None], pixels.flip(-1), pixels)
        reach = config.shift
        padded = F.pad(pixels, (reach, reach, reach, reach), mode="replicate")
        corners = rng.integers(0, 2 * reach + 1, (count, 2)).tolist()
        pixels = torch.stack([p[:, y : y + side, x : x + side] for p, (y, x) in zip(padded, corners, strict=True)])
        # Half of the pictures stay sharp.
        amounts = rng.uniform(0, config.blur, count) * (rng.random(count) < 0.5)
        pixels = pixels.lerp(blur(pixels), torch.from_numpy(amounts).float()[:, None, None, None])
        strengths = torch.from_numpy(rng.uniform(0, config.noise, count)).float()[:, None, None, None]
        noise = torch.randn(pixels.shape, generator=torch_generator(config.seed, "noise", step))
        return pixels + strengths * noise, mirrored


def blur(pixels: Tensor) -> Tensor:
    """Blur pictures ``[n, c, h, w]`` twice with a binomial kernel three pixels wide."""
    channels = pixels.shape[1]
    line = torch.tensor(_BINOMIAL, dtype=pixels.dtype, device=pixels.device)
    kernel = torch.outer(line, line).expand(channels, 1, 3, 3)
    for _ in range(2):
        pixels = F.conv2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), kernel, groups=channels)
    return pixels


def mirror_targets(targets: Mapping[str, Tensor], mirrored: Tensor) -> dict[str, Tensor]:
    """Exchange left and right where pictures are mirrored."""
    result = dict(targets)
    for question in ("kind", "colour"):
        left, right = (targets[f"{place} {question}"] for place in PAIR)
        result[f"left {question}"] = torch.where(mirrored, right, left)
        result[f"right {question}"] = torch.where(mirrored, left, right)
    return result


@torch.no_grad()
def reconstruct(autoencoder: AutoencoderKL, images: np.ndarray, batch_size: int = 50) -> np.ndarray:
    """Return uint8 pictures ``[n, h, w, 3]`` as the autoencoder gives them back."""
    weight = next(autoencoder.parameters())
    parts = []
    for start in range(0, len(images), batch_size):
        pixels = to_tensor(images[start : start + batch_size]).to(weight.device, weight.dtype)
        restored = autoencoder.decode(autoencoder.encode(pixels).latent_dist.mean).sample.float()
        levels = restored.add(1).mul(127.5).round().clamp(0, 255)
        parts.append(levels.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(parts)


def restore(autoencoder: AutoencoderKL, pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """Return pictures of one size as the autoencoder gives them back."""
    images = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
    return [Image.fromarray(image) for image in reconstruct(autoencoder, images)]

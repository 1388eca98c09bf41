"""Small encoders that this package trains: a residual network, perhaps beside a text tower, in one folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from portraitist.errors import BadConfig
from portraitist.evaluation.encoders.encoder import Weights
from portraitist.evaluation.encoders.hub import read_json
from portraitist.evaluation.encoders.preprocessing import Preprocessing
from portraitist.files import write_aside

KIND = "portraitist-encoder"
_CONFIG, _WEIGHTS, _TEXT = "config.json", "model.safetensors", "text"
_NORM_GROUPS = 8
_HALF = (0.5, 0.5, 0.5)


class PictureNetwork(nn.Module):
    """A small convolutional network from pictures ``[n, 3, h, w]`` in [-1, 1] to embeddings ``[n, embedding]``."""

    def __init__(self, channels: Sequence[int], embedding: int) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.stages = nn.ModuleList(ResidualStage(a, b) for a, b in pairwise((3, *channels)))
        self.head = nn.Linear(2 * channels[-1], embedding)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed pictures; mean and maximum over positions both speak."""
        hidden = self.feature_maps(pixels)[-1]
        return self.head(torch.cat([hidden.mean((2, 3)), hidden.amax((2, 3))], dim=1))

    def feature_maps(self, pixels: Tensor) -> list[Tensor]:
        """Return the output of every stage, each at half the resolution of the one before."""
        maps, hidden = [], pixels
        for stage in self.stages:
            hidden = stage(hidden)
            maps.append(hidden)
        return maps


class ResidualStage(nn.Module):
    """Halve the resolution of ``[n, inputs, h, w]``, then one residual block: ``[n, outputs, h / 2, w / 2]``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        self.norm1 = nn.GroupNorm(_NORM_GROUPS, outputs)
        self.conv1 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(_NORM_GROUPS, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the block's output."""
        hidden = self.down(hidden)
        change = self.conv1(F.silu(self.norm1(hidden)))
        return hidden + self.conv2(F.silu(self.norm2(change)))


@dataclass(frozen=True)
class SmallEncoder(Weights):
    """A picture network."""

    network: PictureNetwork

    def embed_pictures(self, pixels: Tensor) -> Tensor:
        """Return embeddings ``[n, d]``."""
        return self.network(pixels)

    def embed_places(self, pixels: Tensor) -> Tensor:
        """Return the last stage's output, row by row, ``[n, h w / 4 ** stages, c]``."""
        return self.network.feature_maps(pixels)[-1].flatten(2).transpose(1, 2)

    def feature_maps(self, pixels: Tensor) -> list[Tensor]:
        """Return the stages' outputs."""
        return self.network.feature_maps(pixels)

    def channel_weights(self) -> list[Tensor]:
        """Return one for each channel over their number: the unlearned variant of LPIPS (arXiv 1801.03924)."""
        return [torch.full((width,), 1 / width, device=self.device) for width in self.network.channels]


@dataclass(frozen=True)
class SmallClipEncoder(SmallEncoder):
    """A picture network and a text tower with a common space."""

    text: Any
    tokenizer: Any

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return embeddings ``[n, d]`` of texts; they are cut at the tower's length."""
        tokens = self.tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
        return self.text(tokens.input_ids.to(self.device)).text_embeds


def save_small(
    folder: Path, network: PictureNetwork, size: int, facts: dict[str, Any], text: Any = None, tokenizer: Any = None
) -> None:
    """Write a picture network in float16, perhaps with a text tower and its tokenizer.

    Args:
        folder: Where it goes.
        network: The picture network.
        size: Side of the pictures it was trained on.
        facts: JSON-able facts for readers: how it was trained, how well it does.
        text: A `CLIPTextModelWithProjection` of the same embedding width.
        tokenizer: Its tokenizer.
    """
    if text is not None:
        text.half().save_pretrained(folder / _TEXT)
        tokenizer.save_pretrained(folder / _TEXT)
    weights = {name: tensor.detach().cpu().half().contiguous() for name, tensor in network.state_dict().items()}
    with write_aside(folder / _WEIGHTS) as temporary:
        save_file(weights, temporary)
    config = {
        "kind": KIND,
        "channels": list(network.channels),
        "embedding": network.head.out_features,
        "size": size,
        "text": text is not None,
        "facts": facts,
    }
    with write_aside(folder / _CONFIG) as temporary:
        temporary.write_text(json.dumps(config, indent=2) + "\n")


def load_small(name: str, folder: Path, revision: str, device: torch.device) -> SmallEncoder:
    """Read what `save_small` wrote.

    Raises:
        BadConfig: If the folder is incomplete or damaged.
    """
    config = read_json(folder, _CONFIG, name)
    try:
        network = PictureNetwork(config["channels"], config["embedding"])
        network.load_state_dict({key: value.float() for key, value in load_file(folder / _WEIGHTS).items()})
        size = int(config["size"])
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise BadConfig(f"the encoder {name} in {folder} is incomplete or damaged ({error}); make it again") from error
    preprocessing = Preprocessing(size, size, "bicubic", _HALF, _HALF)
    network.to(device).eval().requires_grad_(False)
    if not config.get("text"):
        return SmallEncoder(name, revision, preprocessing, device, network)
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer

    text = CLIPTextModelWithProjection.from_pretrained(folder / _TEXT, dtype=torch.float32, local_files_only=True)
    tokenizer = CLIPTokenizer.from_pretrained(folder / _TEXT, local_files_only=True)
    return SmallClipEncoder(name, revision, preprocessing, device, network, text.to(device).eval(), tokenizer)

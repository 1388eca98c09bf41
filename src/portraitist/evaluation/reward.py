"""ImageReward (arXiv 2304.05977) on today's transformers: its own package pins old versions and is not needed.

The model is BLIP's picture tower and its text tower, which looks at the picture, and a small network on the text's
first state. All of it is in transformers under other names; the published weights are renamed when they are read.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from portraitist.errors import BadConfig
from portraitist.evaluation.encoders.encoder import BATCH_SIZE, Weights
from portraitist.evaluation.encoders.locating import locate, revision
from portraitist.evaluation.encoders.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing

# Mean and deviation of the raw score on its training data, as published with the model.
MEAN, DEVIATION = 0.16717, 1.0333
_TOKENS = 35
_HEAD = (1024, 128, 64, 16, 1)
# Positions of the linear layers among dropouts in the published head.
_HEAD_LAYERS = (0, 2, 4, 6, 7)
_RENAMED = (
    (r"^blip\.visual_encoder\.cls_token$", "vision.embeddings.class_embedding"),
    (r"^blip\.visual_encoder\.pos_embed$", "vision.embeddings.position_embedding"),
    (r"^blip\.visual_encoder\.patch_embed\.proj\.", "vision.embeddings.patch_embedding."),
    (r"^blip\.visual_encoder\.norm\.", "vision.post_layernorm."),
    (r"^blip\.visual_encoder\.blocks\.(\d+)\.norm(\d)\.", r"vision.encoder.layers.\1.layer_norm\2."),
    (r"^blip\.visual_encoder\.blocks\.(\d+)\.attn\.qkv\.", r"vision.encoder.layers.\1.self_attn.qkv."),
    (r"^blip\.visual_encoder\.blocks\.(\d+)\.attn\.proj\.", r"vision.encoder.layers.\1.self_attn.projection."),
    (r"^blip\.visual_encoder\.blocks\.(\d+)\.mlp\.", r"vision.encoder.layers.\1.mlp."),
    (r"^blip\.text_encoder\.", "text."),
    (r"^mlp\.layers\.", "head."),
)
# Buffers that newer libraries make themselves.
_BUFFERS = ("embeddings.position_ids",)


class RewardNetwork(nn.Module):
    """From prepared pictures and token ids to one number a pair."""

    def __init__(self, vision: dict[str, Any], text: dict[str, Any]) -> None:
        super().__init__()
        from transformers import BlipTextConfig, BlipVisionConfig
        from transformers.models.blip.modeling_blip import BlipVisionModel
        from transformers.models.blip.modeling_blip_text import BlipTextModel

        self.vision = BlipVisionModel(BlipVisionConfig(**vision))
        width = self.vision.config.hidden_size
        # A decoder by name only: it has the layers that look at the picture, but attends in both directions below.
        config = BlipTextConfig(**text, encoder_hidden_size=width, is_decoder=True)
        self.text = BlipTextModel(config, add_pooling_layer=False)
        widths = (config.hidden_size, *_HEAD)
        layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
        self.head = nn.ModuleDict({str(place): layer for place, layer in zip(_HEAD_LAYERS, layers, strict=True)})

    def forward(self, pixels: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Return rewards ``[n]``, standardised as published."""
        seen = self.vision(pixel_values=pixels).last_hidden_state
        everything = torch.ones(seen.shape[:2], dtype=torch.long, device=seen.device)
        hidden = self.text(
            input_ids=ids,
            attention_mask=mask,
            encoder_hidden_states=seen,
            encoder_attention_mask=everything,
            is_decoder=False,
        ).last_hidden_state[:, 0]
        for layer in self.head.values():
            hidden = layer(hidden)
        return (hidden[:, 0] - MEAN) / DEVIATION


@dataclass(frozen=True)
class ImageReward(Weights):
    """The reward model with its tokenizer."""

    network: RewardNetwork
    tokenizer: Any

    @torch.no_grad()
    def score(self, prompts: Sequence[str], images: Sequence[Image.Image]) -> Tensor:
        """Return one reward for each picture and its prompt, ``[n]``."""
        rewards = []
        for start in range(0, len(images), BATCH_SIZE):
            rows = slice(start, start + BATCH_SIZE)
            tokens = self.tokenizer(
                list(prompts[rows]), padding="max_length", truncation=True, max_length=_TOKENS, return_tensors="pt"
            ).to(self.device)
            pixels = self.preprocessing(images[rows]).to(self.device)
            rewards.append(self.network(pixels, tokens.input_ids, tokens.attention_mask).cpu())
        return torch.cat(rewards)


# ViT-L/16 and BERT-base with two more words, as the published configuration has them.
_VISION = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
    "image_size": 224, "patch_size": 16, "layer_norm_eps": 1e-6,
}  # fmt: skip
_TEXT = {
    "vocab_size": 30524, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "max_position_embeddings": 512,
}  # fmt: skip


def load_reward(name: str, device: str = "cpu") -> ImageReward:
    """Load ImageReward from a folder with its weights as ``.safetensors`` and BERT's ``vocab.txt``.

    Raises:
        BadConfig: If the folder holds something else.
    """
    from transformers import BertTokenizer

    folder = locate(name)
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files or not (folder / "vocab.txt").exists():
        raise BadConfig(f"{folder} needs ImageReward's weights as .safetensors and vocab.txt; see docs/evaluation.md")
    network = RewardNetwork(_VISION, _TEXT)
    read_published(network, files[0])
    size = _VISION["image_size"]
    preprocessing = Preprocessing(int(size), int(size), "bicubic", CLIP_MEAN, CLIP_STD)
    tokenizer = BertTokenizer.from_pretrained(folder)
    place = torch.device(device)
    return ImageReward(name, revision(folder), preprocessing, place, network.to(place).eval(), tokenizer)


def read_published(network: RewardNetwork, path: Path) -> None:
    """Fill a network from weights in the published names.

    Raises:
        BadConfig: If a weight is missing, unknown or of another shape.
    """
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadConfig(f"{path} cannot be read ({error}); make it again, docs/evaluation.md says how") from error
    renamed = {rename(key): value.float() for key, value in stored.items()}
    weights = {key: value for key, value in renamed.items() if not key.endswith(_BUFFERS)}
    try:
        missing, unknown = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise BadConfig(f"{path} holds another model than ImageReward-v1.0 ({error})") from error
    lacking = [key for key in missing if not key.endswith(_BUFFERS)]
    if lacking or unknown:
        raise BadConfig(f"{path} is not ImageReward-v1.0: lacks {lacking[:2]}, holds {list(unknown)[:2]} besides")


def rename(key: str) -> str:
    """Return transformers' name of a published weight."""
    for pattern, replacement in _RENAMED:
        renamed, count = re.subn(pattern, replacement, key)
        if count:
            return renamed
    return key

"""Stable Diffusion XL and every model in its layout (arXiv 2307.01952)."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from portraitist.bases.families.family import Conditions, Framing, tokenize
from portraitist.bases.families.stable_diffusion import StableDiffusion, UNetPipeline
from portraitist.bases.layers import LAYER_SETS, LayerSets
from portraitist.bases.pipelines import Network, Tokenizer
from portraitist.bases.transfers import sent


class TwoEncodersPipeline(UNetPipeline, Protocol):
    """A pipeline of a UNet and two CLIP text encoders."""

    text_encoder_2: Network
    tokenizer_2: Tokenizer


class StableDiffusionXL(StableDiffusion):
    """A larger UNet, two text encoders with one vocabulary, and conditions on size and crop (section 2.2)."""

    pipeline: TwoEncodersPipeline
    name: ClassVar[str] = "sdxl"
    title: ClassVar[str] = "Stable Diffusion XL"
    pipelines: ClassVar[tuple[str, ...]] = ("StableDiffusionXLPipeline",)
    layer_sets: ClassVar[LayerSets] = LAYER_SETS["sdxl"]
    text_encoders: ClassVar[tuple[str, ...]] = ("text_encoder", "text_encoder_2")
    guidance: ClassVar[float] = 5.0  # default of diffusers' pipeline

    def encode_prompts(self, prompts: Sequence[str]) -> Conditions:
        """Return both encoders' penultimate hidden states side by side, and the second one's pooled projection."""
        states, pooled = [], None
        for encoder, tokenizer in (
            (self.pipeline.text_encoder, self.pipeline.tokenizer),
            (self.pipeline.text_encoder_2, self.pipeline.tokenizer_2),
        ):
            output = encoder(sent(tokenize(tokenizer, prompts), encoder.device), output_hidden_states=True)
            states.append(output.hidden_states[-2])
            pooled = output[0]
        assert pooled is not None
        return {"encoder_hidden_states": torch.cat(states, dim=-1), "text_embeds": pooled}

    def encode_framings(self, framings: Sequence[Framing]) -> Conditions:
        """Return ``time_ids [n, 6]``: original size, corner of the crop, target size."""
        return {"time_ids": torch.tensor([[*f.original, *f.crop, *f.target] for f in framings], dtype=torch.float32)}

    def predict(self, noised: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        """Run the UNet with its added conditions."""
        added = {name: sent(conditions[name], noised.device) for name in ("text_embeds", "time_ids")}
        states = conditions["encoder_hidden_states"]
        return self.pipeline.unet(noised, timesteps, states, added_cond_kwargs=added).sample

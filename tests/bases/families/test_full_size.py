"""The published sizes, run through every family's code on tensors without memory: shapes fit from end to end."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from portraitist.bases.architectures import build_architecture
from portraitist.bases.clip_tokenizer import build_clip_tokenizer
from portraitist.bases.families import FAMILIES, Flux, Framing

FAMILY = {"sd15": "sd", "sd21-768": "sd", "sdxl": "sdxl", "flux": "flux"}
RESOLUTION = {"sd15": 512, "sd21-768": 768, "sdxl": 1024, "flux": 1024}


@pytest.mark.parametrize("name", FAMILY)
def test_prompts_and_pictures_pass_through(name: str) -> None:
    components = {**build_architecture(name), **build_architecture(name, components=("vae",))}
    tokenizer = build_clip_tokenizer()
    pipeline = SimpleNamespace(
        **components,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        scheduler=FlowMatchEulerDiscreteScheduler() if name == "flux" else DDIMScheduler(),
        vae_scale_factor=8,
    )
    family = next(each for each in FAMILIES if each.name == FAMILY[name])(pipeline)  # type: ignore[arg-type]
    side = family.resolution
    assert side == RESOLUTION[name]
    mean, _ = family.encode_pictures(torch.empty(1, 3, side, side))
    channels = 16 if isinstance(family, Flux) else 4
    assert mean.shape == (1, channels, side // 8, side // 8)
    conditions = {**family.encode_prompts(["a cat"]), **family.encode_framings([Framing.whole(side, side)])}
    timesteps = torch.full((1,), 500, device="meta")
    prediction = family.predict(mean, timesteps, {key: value.to("meta") for key, value in conditions.items()})
    assert prediction.shape == mean.shape

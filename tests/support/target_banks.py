"""Banks of targets for tests: photos that are noise, on the tiny base."""

import torch

from portraitist.bases import Base
from portraitist.bases.families import Framing
from portraitist.hypernetworks.identities.targets import BankWork, target_recipe
from portraitist.training.inputs.latents import Latents

PROMPT = "a photo of a sks person"
SMALL = {"lidb": {"a": 8, "b": 4}, "lora": {"rank": 2}}


def noise_photos(seed: int, count: int = 3) -> Latents:
    drawn = torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
    return Latents(drawn, torch.full_like(drawn, 0.01), (Framing.whole(32, 32),) * count, (PROMPT,) * count)


def bank_work(
    base: Base,
    latents: list[Latents],
    method: str = "lidb",
    steps: int = 3,
    rate: float = 0.1,
    number: int = 0,
    frozen_a: bool = False,
) -> BankWork:
    settings = {"method_config": SMALL[method], "batch_size": 2, "learning_rate": rate, "warmup_steps": 0}
    # Where a gradient is next to nothing, Adam's step would be its rounding error's sign.
    settings |= {"text_learning_rate": rate, "optimizer": {"epsilon": 0.01}}
    recipe = target_recipe(base, method, steps, {"layers": "attention+text", **settings}, seed=4)
    return BankWork(
        number=number,
        base=base.name,
        fingerprint=base.fingerprint,
        precision=base.precision,
        resolution=base.family.resolution,
        device="cpu",
        recipe=recipe.model_dump(mode="json"),
        token="sks",
        keys=tuple(f"person-{number}" for number in range(len(latents))),
        class_nouns=("person",) * len(latents),
        prompts=(PROMPT,) * len(latents),
        latents=tuple(latents),
        frozen_a=frozen_a,
    )

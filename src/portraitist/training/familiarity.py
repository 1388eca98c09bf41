"""Whether an embedded base has ever seen such a subject: its small world holds neither dogs nor photographs."""

from collections.abc import Sequence

import torch
from PIL import Image

from portraitist.bases import Base
from portraitist.bases.examples import list_examples
from portraitist.generation.latents import encode_conditions, predict
from portraitist.randomness import torch_generator
from portraitist.training.inputs.latents import encode
from portraitist.training.subjects import Subject, read_photo
from portraitist.training.tokens import count_tokens

_REMEDY = "real photos need a base that has seen some, such as Stable Diffusion: --base FOLDER_OR_FILE (docs/bases.md)"
_NOISE_SHARE = 0.1  # of all timesteps: little noise, so that strange details show
# The examples' error times this is strange. Of 20 subjects of its world the shipped toyland has 0.73 to 1.15 times
# theirs, of 20 photographed ones 1.87 to 3.17.
_STRANGE = 1.35


def familiarity_warnings(base: Base, subjects: Sequence[Subject]) -> list[str]:
    """Say what of subjects is foreign to a base that ships with the package; nothing of other bases.

    A class noun is, if the vocabulary has no word for it; photos are, if the denoiser takes their noise away clearly
    worse than that of the examples in the package.
    """
    if not base.is_builtin:
        return []
    lines = []
    known = ", ".join(sorted({example.class_noun for example in list_examples()}))
    for noun in dict.fromkeys(subject.class_noun for subject in subjects):
        unknown = [word for word in noun.split() if count_tokens(base.pipeline.tokenizer, word) > 1]
        if unknown:
            lines.append(f"the base {base.name} knows no {' '.join(unknown)}, only {known}; {_REMEDY}")
    if base.bits is not None:  # whose passes take a CPU fifty times as long
        return lines
    examples = [read_photo(example.photos[0], base.family.resolution) for example in list_examples()]
    limit = _STRANGE * denoising_error(base, examples)
    strange = [subject.name for subject in subjects if denoising_error(base, subject.photos) > limit]
    if strange:
        whose = "these photos" if len(strange) == len(subjects) else f"the photos of {' and '.join(strange)}"
        lines.append(
            f"the base {base.name} knows drawn figures, and {whose} look like nothing it has seen, so its"
            f" pictures of them will be poor; {_REMEDY}"
        )
    return lines


@torch.no_grad()
def denoising_error(base: Base, pictures: Sequence[Image.Image]) -> float:
    """Return the mean squared error of a base's predictions for slightly noised pictures, always with the same noise.

    Args:
        base: The base.
        pictures: Squares at its resolution.
    """
    latents = encode(base, pictures).mean
    noise = torch.randn(latents.shape, generator=torch_generator(0, "familiarity"))
    step = int(_NOISE_SHARE * base.pipeline.scheduler.config.num_train_timesteps)
    timesteps = torch.full((len(latents),), step)
    noised = base.family.add_noise(latents, noise, timesteps)
    prediction = predict(base, noised, timesteps, encode_conditions(base, [""] * len(latents), latents))
    return float((prediction.cpu() - base.family.target(latents, noise, timesteps).cpu()).square().mean())

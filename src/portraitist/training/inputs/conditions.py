"""Prompts as the denoiser reads them: each encoded once, in memory and on disk, unless its encoder is being trained."""

from collections.abc import Sequence

import torch

from portraitist.bases import Base
from portraitist.bases.families import Conditions
from portraitist.bases.transfers import sent
from portraitist.cache import cached, content_key


class PromptBook:
    """Conditions of prompts.

    Args:
        base: The base.
        fixed: Whether its text encoders stay as they are, so that a prompt's conditions can be kept.
        adapters: How many adapters are on the text encoders, as a bank; prompts are then as many equal groups.
    """

    def __init__(self, base: Base, fixed: bool, adapters: int = 1) -> None:
        self.base, self.fixed, self.adapters = base, fixed, adapters
        self._known: dict[str, Conditions] = {}

    def encode(self, prompts: Sequence[str]) -> Conditions:
        """Return conditions, one row a prompt.

        Raises:
            ValueError: If the prompts cannot be split into equal groups for the adapters of a bank.
        """
        padded, places = _without_repetitions(prompts, 1 if self.fixed else self.adapters)
        if self.fixed:
            for prompt in padded:
                if prompt not in self._known:
                    self._known[prompt] = self._encode_fixed(prompt)
            parts = [self._known[prompt] for prompt in padded]
            encoded = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        else:
            encoded = self.base.family.encode_prompts(padded)
        rows = sent(torch.tensor(places), self.base.device)
        return {name: value[rows] for name, value in encoded.items()}

    def _encode_fixed(self, prompt: str) -> Conditions:
        family = self.base.family

        def make() -> Conditions:
            # Without autocast: the file serves runs of every precision.
            with torch.no_grad(), torch.autocast(self.base.device.type, enabled=False):
                return family.encode_prompts([prompt])

        precision = " ".join(str(next(self.base.components[name].parameters()).dtype) for name in family.text_encoders)
        key = content_key(self.base.fingerprint, precision, repr(family.prompt_ids(prompt)))
        return {name: tensor.to(self.base.device) for name, tensor in cached("prompts", key, make).items()}


def _without_repetitions(prompts: Sequence[str], adapters: int) -> tuple[list[str], list[int]]:
    """Return every adapter's different prompts, and where each given prompt is among them.

    As the adapters of a bank are told apart by equal groups of rows, those with fewer different prompts than others ask
    for one of them again.

    Raises:
        ValueError: If they cannot be split into equal groups.
    """
    size, left = divmod(len(prompts), adapters)
    if left:
        raise ValueError(
            f"{len(prompts)} prompts cannot be split into {adapters} equal groups, one for each adapter of a bank"
        )
    groups = [prompts[start : start + size] for start in range(0, len(prompts), size)]
    different = [list(dict.fromkeys(group)) for group in groups]
    longest = max(map(len, different))
    padded = [prompt for own in different for prompt in own + own[:1] * (longest - len(own))]
    places = [
        index * longest + own.index(prompt)
        for index, (own, group) in enumerate(zip(different, groups, strict=True))
        for prompt in group
    ]
    return padded, places

"""Prompts as the denoiser reads them: each encoded once, in memory and on disk, unless its encoder is being trained."""

from collections.abc import Sequence

import torch

from portraitist.bases import Base
from portraitist.bases.families import Conditions
from portraitist.training.inputs.cache import cached, content_key, to_device


class PromptBook:
    """Conditions of prompts.

    Args:
        base: The base.
        fixed: Whether its text encoders stay as they are, so that a prompt's conditions can be kept.
    """

    def __init__(self, base: Base, fixed: bool) -> None:
        self.base, self.fixed = base, fixed
        self._known: dict[str, Conditions] = {}

    def encode(self, prompts: Sequence[str]) -> Conditions:
        """Return conditions, one row a prompt."""
        different = list(dict.fromkeys(prompts))
        if self.fixed:
            for prompt in different:
                if prompt not in self._known:
                    self._known[prompt] = self._encode_fixed(prompt)
            parts = [self._known[prompt] for prompt in different]
            encoded = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        else:
            encoded = self.base.family.encode_prompts(different)
        rows = torch.tensor([different.index(prompt) for prompt in prompts], device=self.base.device)
        return {name: value[rows] for name, value in encoded.items()}

    def _encode_fixed(self, prompt: str) -> Conditions:
        family = self.base.family

        def make() -> Conditions:
            # Without autocast: the file serves runs of every precision.
            with torch.no_grad(), torch.autocast(self.base.device.type, enabled=False):
                return family.encode_prompts([prompt])

        precision = " ".join(str(next(self.base.components[name].parameters()).dtype) for name in family.text_encoders)
        key = content_key(self.base.fingerprint, precision, repr(family.prompt_ids(prompt)))
        return to_device(cached("prompts", key, make), self.base.device)

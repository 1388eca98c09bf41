"""What a GPU is like, as far as anything here depends on it: a value, so that any card can be planned for."""

from dataclasses import dataclass

import torch

# What tensors cannot have: the driver's context, libraries' kernels and workspaces, gaps between blocks. Our choice.
_OUT_OF_SIGHT = 2**30
# Compute capability from which on a card multiplies in TF32 (NVIDIA Ampere).
_FIRST_WITH_TF32 = (8, 0)


@dataclass(frozen=True)
class Card:
    """A GPU.

    Attributes:
        name: What its driver calls it.
        memory: Its bytes.
        bfloat16: Whether it computes in bfloat16 itself; emulated, that is slower than float32.
        tf32: Whether it can multiply float32 with ten bits of fraction, several times as fast.
    """

    name: str
    memory: int
    bfloat16: bool = True
    tf32: bool = True

    @classmethod
    def of(cls, device: str | torch.device) -> "Card | None":
        """Return the card behind a device; None for processors and for Apple's GPUs."""
        place = torch.device(device)
        if place.type != "cuda":
            return None
        facts = torch.cuda.get_device_properties(place)
        with torch.cuda.device(place):
            bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return cls(facts.name, facts.total_memory, bfloat16, (facts.major, facts.minor) >= _FIRST_WITH_TF32)

    @property
    def half(self) -> torch.dtype:
        """Return the half precision it computes in: bfloat16, with the range of float32, or else float16."""
        return torch.bfloat16 if self.bfloat16 else torch.float16

    @property
    def room(self) -> int:
        """Return the bytes that tensors may take."""
        return self.memory - _OUT_OF_SIGHT


def card_of_size(gigabytes: int) -> Card:
    """Return a card of today with so much memory, as shops count it."""
    return Card(f"{gigabytes} GB", gigabytes * 2**30)

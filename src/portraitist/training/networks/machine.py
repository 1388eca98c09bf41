"""What networks are trained on, and what that allows: precision, compilation, layout."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from portraitist.allocation import reuse_freed_memory
from portraitist.bases.precision import quick_float32
from portraitist.errors import BadConfig

PRECISIONS = ("auto", "no", "bf16")


@dataclass(frozen=True)
class Machine:
    """A device and how it is used.

    Attributes:
        device: Where networks are trained.
        precision: ``no`` (float32) or ``bf16`` autocast.
        compiled: Whether networks are compiled.
        checkpoint_seconds: Time between two checkpoints.
    """

    device: str = "cpu"
    precision: str = "no"
    compiled: bool = False
    checkpoint_seconds: float = 180.0

    @classmethod
    def choose(cls, device: str, precision: str = "auto", compiled: bool = False) -> "Machine":
        """Return a device's use; ``auto`` is bf16 where the device computes in it.

        Raises:
            BadConfig: If the precision is none of those known.
        """
        if precision not in PRECISIONS:
            raise BadConfig(f"the precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
        if precision == "auto":
            precision = "bf16" if _computes_bf16(device) else "no"
        if device == "cpu":
            reuse_freed_memory()
        return cls(device, precision, compiled)

    @property
    def memory_format(self) -> torch.memory_format:
        """Return how pictures and weights of convolutions lie: channels last where tensor cores want them so.

        On a CPU the backward passes of group norms take three times as long that way.
        """
        return torch.contiguous_format if self.device == "cpu" else torch.channels_last

    @property
    def fuses_attention(self) -> bool:
        """Say whether fused attention pays in training; on a CPU its backward pass takes several times as long."""
        return self.device != "cpu"

    @contextmanager
    def at_speed(self) -> Iterator[None]:
        """Let the device compute as fast as it can for a while: TF32, and kernels chosen by trying them."""
        tried = torch.backends.cudnn.benchmark
        with quick_float32(self.device):
            torch.backends.cudnn.benchmark = tried or self.device.startswith("cuda")
            try:
                yield
            finally:
                torch.backends.cudnn.benchmark = tried

    def prepare(self, network: nn.Module) -> None:
        """Lay a network's weights out for this machine and compile it, in place."""
        network.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        if self.compiled:
            network.compile(dynamic=False)


def _computes_bf16(device: str) -> bool:
    """Say whether a device has instructions for bf16; one that emulates them is slower than in float32."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "cpu":
        able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return False

"""Where and in what precision to work, by the names that people type."""

import os
from typing import TYPE_CHECKING

from portraitist.errors import BadConfig

if TYPE_CHECKING:
    import torch

_RANK = "LOCAL_RANK"  # of this process among those launched on the machine, set by torchrun and accelerate
_DEVICES = ("cpu", "cuda", "hpu", "mps", "npu", "xpu")
_PRECISIONS = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}


def check_precision(name: str | None) -> None:
    """Refuse a precision that there is not.

    Raises:
        BadConfig: Naming those there are.
    """
    if name is not None and name not in _PRECISIONS:
        raise BadConfig(f"unknown precision {name!r}; choose one of {', '.join(_PRECISIONS)}")


def check_device(name: str) -> None:
    """Refuse a name that no device has; whether there is one here only torch can tell.

    Raises:
        BadConfig: If it is none.
    """
    if name != "auto" and name.partition(":")[0] not in _DEVICES:
        raise BadConfig(f"there is no device {name!r} here; use --device cpu")


def choose_precision(name: str | None) -> "torch.dtype | None":
    """Return the precision of a name; None stays.

    Raises:
        BadConfig: If there is none of this name.
    """
    check_precision(name)
    if name is None:
        return None
    import torch

    return getattr(torch, _PRECISIONS[name])  # type: ignore[no-any-return]


def choose_device(name: str) -> str:
    """Return the device to work on, checked; of several processes on a machine each gets its own GPU.

    Raises:
        BadConfig: If there is none of this name here.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "cuda" and _RANK in os.environ:
        name = f"cuda:{os.environ[_RANK]}"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BadConfig(f"there is no device {name!r} here; use --device cpu") from error
    return name

"""The outline of a safetensors file, whoever wrote it, in which nothing is trusted. Needs no torch."""

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from portraitist.adapters.spec import Shape
from portraitist.errors import BadFile
from portraitist.reading import require_file

# How the files that torch writes begin: zip archives, or pickles of the protocols 2 to 5.
_ZIP, _PICKLES = b"PK\x03\x04", tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_HEADER_LIMIT = 64 * 2**20
# No file of weights holds as many tensors; a checkpoint of Stable Diffusion XL has 2,515.
MOST_TENSORS = 2**16
# Precisions as the format names them and numpy reads them. It has no bfloat16, whose
# exponent is looked at.
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_FLOAT16, _BFLOAT16, _EXPONENT = "F16", "BF16", 0x7F80
# No weight comes near this; larger ones are of a run that diverged, or an attack. A power of two, for bfloat16's sake.
LARGEST = 2.0**60
_LARGEST_EXPONENT = (127 + 60) << 7


@dataclass(frozen=True)
class Outline:
    """What the header of a safetensors file says.

    Attributes:
        shapes: By tensor.
        dtypes: Precisions by tensor, in the file's names (``F32``).
        metadata: What its writer noted.
    """

    shapes: Mapping[str, Shape]
    dtypes: Mapping[str, str]
    metadata: Mapping[str, str]


def read_outline(path: Path) -> Outline:
    """Read a safetensors file's header.

    Raises:
        BadFile: If it is missing, damaged or no safetensors file.
    """
    check_container(path)
    try:
        with safe_open(path, framework="numpy") as file:
            if len(file.keys()) > MOST_TENSORS:
                raise BadFile(f"{path} holds {len(file.keys()):,} tensors, more than any adapter or model")
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 - safe_open is not a mapping
            shapes = {key: tuple(part.get_shape()) for key, part in slices.items()}
            dtypes = {key: str(part.get_dtype()) for key, part in slices.items()}
            return Outline(shapes, dtypes, file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise BadFile(f"{path} is damaged or cut short ({error}); get the file again") from error


def check_container(path: Path) -> None:
    """Refuse what is plainly no safetensors file, before any library reads it.

    Raises:
        BadFile: With the reason.
    """
    require_file(path, "an adapter file")
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}") from error
    if len(start) < 8:
        raise BadFile(f"{path} is empty or cut short ({size} bytes)")
    header = struct.unpack("<Q", start)[0]
    if header > min(size - 8, _HEADER_LIMIT):
        if start[:4] == _ZIP or start[:2] in _PICKLES:
            raise BadFile(
                f"{path} is a pickle, which can run code when opened; if you trust it, convert it to safetensors first"
            )
        raise BadFile(f"{path} is not a safetensors file, or is cut short (its header claims {header} bytes of {size})")


def tensors_not_finite(path: Path) -> Iterator[str]:
    """Yield the tensors of a sound file with numbers that are not finite, or too large, reading one after the other."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    for key, entry in header.items():
        if key == "__metadata__":
            continue
        precision, (begin, end) = entry["dtype"], entry["data_offsets"]
        if precision not in FLOATS:
            yield key
            continue
        dtype = np.dtype(FLOATS[precision])
        numbers = np.fromfile(path, dtype, (end - begin) // dtype.itemsize, offset=8 + size + begin)
        if precision == _BFLOAT16:
            usable = (numbers & _EXPONENT) < _LARGEST_EXPONENT
        elif precision == _FLOAT16:  # whose numbers end below it
            usable = np.isfinite(numbers)
        else:
            usable = np.abs(numbers) < LARGEST
        if not usable.all():
            yield key

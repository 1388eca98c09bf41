"""Reading and writing the tensors of other programs' files, trusting nothing and accounting for every key."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from portraitist.adapters.files import stored
from portraitist.adapters.outline import read_outline
from portraitist.errors import BadFile
from portraitist.files import write_aside
from portraitist.units import counted, first_few

_JSON_LIMIT = 16 * 2**20
# Under this name our own facts (trigger words, base) stand beside the tensors in files for other programs.
_OWN = "portraitist"


@dataclass
class Tensors:
    """The tensors of one file, in float32, and which of them were used.

    Attributes:
        path: The file, for messages.
        metadata: Its metadata.
        unused: Tensors by key that nobody has taken yet.
    """

    path: Path
    metadata: Mapping[str, str]
    unused: dict[str, Tensor] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> "Tensors":
        """Read all tensors.

        Raises:
            BadFile: If the file is damaged or holds values that are not finite numbers.
        """
        metadata = read_outline(path).metadata
        tensors = {}
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - safe_open is not a mapping
                tensor = file.get_tensor(key)
                if tensor.is_complex() or not torch.isfinite(tensor.float()).all():
                    raise BadFile(f"{path}: {key} holds values that are not finite real numbers")
                tensors[key] = tensor.float()
        return cls(path, metadata, tensors)

    def take(self, key: str) -> Tensor | None:
        """Return a tensor and count it as used; None if there is no such key, or it was taken before."""
        return self.unused.pop(key, None)

    def take_pair(self, down: str, up: str) -> tuple[Tensor, Tensor]:
        """Return a layer's two tensors and count them as used.

        Raises:
            BadFile: If one is missing.
        """
        pair = self.take(down), self.take(up)
        if pair[0] is None or pair[1] is None:
            raise BadFile(f"{self.path} lacks {down if pair[0] is None else up}")
        return pair[0], pair[1]

    def take_number(self, key: str) -> float | None:
        """Return a tensor's only number and count it as used; None if there is no such key.

        Raises:
            BadFile: If it holds several numbers.
        """
        tensor = self.take(key)
        if tensor is not None and tensor.numel() != 1:
            raise BadFile(f"{self.path}: {key} has shape {tuple(tensor.shape)} where one number is needed")
        return None if tensor is None else float(tensor)

    def require_all_used(self, what: str) -> None:
        """Fail if a tensor is left over.

        Raises:
            BadFile: Naming the tensors that nothing used.
        """
        if self.unused:
            count, names = counted(len(self.unused), "tensor"), first_few(sorted(self.unused))
            raise BadFile(f"{self.path} holds {count} that {what} does not use: {names}")

    def own_facts(self) -> dict[str, Any]:
        """Return what this package wrote about the adapter when it wrote the file.

        Raises:
            BadFile: If that is damaged.
        """
        return own_facts(self.path, self.metadata)


def own_facts(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what this package noted in a file's metadata about the adapter; nothing for files of others.

    Raises:
        BadFile: If that is damaged.
    """
    text = metadata.get(_OWN)
    return {} if text is None else parse_json(text, f"{path}: the adapter's description")


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    dtype: torch.dtype | None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write tensors, in a precision if one is given, with our own facts and the format's metadata.

    Single numbers (alpha) are not rounded. The file appears complete or not at all.
    """
    ready = {key: stored(key, tensor, dtype if tensor.ndim else None).clone() for key, tensor in tensors.items()}
    own = {_OWN: json.dumps(dict(facts))} if facts else {}
    with write_aside(path) as temporary:
        save_file(ready, temporary, metadata={"format": "pt", **own, **(metadata or {})})


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        BadFile: If it is missing, too large or no JSON object.
    """
    if not path.is_file():
        raise BadFile(f"{path} does not exist")
    if path.stat().st_size > _JSON_LIMIT:
        raise BadFile(f"{path} is too large for a description ({path.stat().st_size} bytes)")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadFile(f"{path} is not text ({error})") from error
    return parse_json(text, str(path))


def parse_json(text: str, what: str) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        BadFile: If the text is something else.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{what} is unreadable ({error})") from error
    if not isinstance(value, dict):
        raise BadFile(f"{what} is unreadable (not a JSON object)")
    return value

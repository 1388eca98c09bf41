"""Reading and writing the tensors of other programs' files, trusting nothing and accounting for every key."""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from portraitist.adapters.description import NOT_FINITE
from portraitist.adapters.files import is_usable, stored
from portraitist.adapters.outline import MOST_TENSORS, read_outline
from portraitist.adapters.provenance import THUMBNAIL
from portraitist.errors import BadFile
from portraitist.exchange.thumbnails import KEY, is_handed_on
from portraitist.files import write_aside
from portraitist.reading import read_text
from portraitist.units import counted, first_few

_JSON_LIMIT = 16 * 2**20
# Under this name our own facts (trigger words, base) stand beside the tensors in files for other programs.
_OWN = "portraitist"
# Under this one the names of all its layers.
_LAYERS = "portraitist_layers"
# Precisions that weights are kept in; a single number (alpha) may be a whole one.
_WEIGHTS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
_WHOLE = ("I64", "I32", "I16", "I8", "U8")


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
        outline = read_outline(path)
        for key, dtype in outline.dtypes.items():
            if dtype not in _WEIGHTS and (dtype not in _WHOLE or math.prod(outline.shapes[key]) != 1):
                raise BadFile(f"{path}: {key} is stored as {dtype}; {', '.join(_WEIGHTS)} can be read")
        tensors = {}
        try:
            with safe_open(path, framework="pt") as file:
                for key in outline.shapes:
                    tensors[key] = file.get_tensor(key).float()
        except (SafetensorError, OSError) as error:
            raise BadFile(f"{path} is damaged or cut short ({error}); get the file again") from error
        for key, tensor in tensors.items():
            if not is_usable(tensor):
                raise BadFile(f"{path}: {key} {NOT_FINITE}")
        return cls(path, outline.metadata, tensors)

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

    def require_layers(self, found: Collection[str], part: bool = False) -> None:
        """Fail if layers are missing that this package noted when it wrote the file.

        Args:
            found: The layers that were read.
            part: What was read may be one file of several; then layers of other components are not missed.

        Raises:
            BadFile: Naming the missing layers.
        """
        if (text := self.metadata.get(_LAYERS)) is None:
            return
        try:
            noted = [str(name) for name in json.loads(text)[: MOST_TENSORS + 1]]
            if len(noted) > MOST_TENSORS:
                raise ValueError(f"it names more than {MOST_TENSORS:,}")
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise BadFile(f"{self.path}: the list of its layers is unreadable ({error})") from error
        here, components = {_plain(name) for name in found}, {name.partition(".")[0] for name in found}
        wanted = [name for name in noted if not part or name.partition(".")[0] in components]
        if missing := [name for name in wanted if _plain(name) not in here]:
            count, names = counted(len(missing), "layer"), first_few(missing)
            raise BadFile(f"{self.path} lacks {count} that it was written with: {names}; get it again, whole")

    def own_facts(self) -> dict[str, Any]:
        """Return what this package wrote about the adapter when it wrote the file.

        Raises:
            BadFile: If that is damaged.
        """
        return own_facts(self.path, self.metadata)


def _plain(layer: str) -> str:
    """Return a layer's name without the level of text encoders that programs and versions differ in."""
    return layer.replace(".text_model.", ".", 1)


def own_facts(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what this package noted in a file's metadata about the adapter; of files of others only the thumbnail.

    Raises:
        BadFile: If that is damaged.
    """
    text = metadata.get(_OWN)
    facts = {} if text is None else parse_json(text, f"{path}: the adapter's description")
    return facts | ({THUMBNAIL: metadata[KEY]} if is_handed_on(metadata.get(KEY)) else {})


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    dtype: torch.dtype | None,
    layers: Collection[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write tensors, in a precision if one is given, with our own facts and the format's metadata.

    Single numbers (alpha) are not rounded. The file appears complete or not at all.

    Args:
        path: The file.
        tensors: By key.
        facts: What is known of the adapter.
        dtype: Precision of the numbers.
        layers: All layers of the adapter, so that missing ones are seen, those in other files too.
        metadata: The format's.
    """
    ready = {key: stored(key, tensor, dtype if tensor.ndim else None).clone() for key, tensor in tensors.items()}
    known = {name: value for name, value in facts.items() if name != THUMBNAIL}
    own = {**({_OWN: json.dumps(known)} if known else {}), _LAYERS: json.dumps(sorted(layers))}
    picture = {KEY: facts[THUMBNAIL]} if is_handed_on(facts.get(THUMBNAIL)) else {}
    with write_aside(path) as temporary:
        save_file(ready, temporary, metadata={"format": "pt", **own, **(metadata or {}), **picture})


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        BadFile: If it is missing, too large or no JSON object.
    """
    return parse_json(read_text(path, "a description", limit=_JSON_LIMIT), str(path))


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

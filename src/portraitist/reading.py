"""Reading files that anybody may have made: only plain files, only so much of them, only text that is text.

YAML is read with the safe loader, and within bounds: what references make of it may not grow, lists nest so deep and
numbers are so long.
"""

import re
import stat
from pathlib import Path
from typing import Any

import yaml

from portraitist.errors import BadConfig, BadFile, PortraitistError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# Captions, recipes and studies are pages of text; more is something else.
_TEXT_LIMIT = 2**20
# Values in a YAML file, those that references repeat counted each time; levels of nesting; characters of a number.
_MOST_VALUES, _DEEPEST, _LONGEST_NUMBER = 100_000, 50, 50


def require_file(path: Path, wanted: str, error: type[PortraitistError] = BadFile) -> None:
    """Refuse what is no plain file, without opening it: opening a pipe would wait for ever.

    Args:
        path: The file.
        wanted: What it should be, e.g. ``a photo``.
        error: What is raised.

    Raises:
        PortraitistError: If it is not there, not to be looked at, or something else than a file.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise error(f"{path} does not exist") from None
    except (OSError, ValueError) as reason:
        raise error(f"{path} cannot be read: {getattr(reason, 'strerror', None) or reason}") from reason
    if not stat.S_ISREG(mode):
        kind = next((words for test, words in _KINDS if test(mode)), "no file")
        raise error(f"{path} is {kind}, not {wanted}")


def read_bytes(path: Path, wanted: str, limit: int, error: type[PortraitistError] = BadFile) -> bytes:
    """Read a plain file.

    Args:
        path: The file.
        wanted: What it should be, e.g. ``a photo``.
        limit: Bytes that it may have.
        error: What is raised.

    Raises:
        PortraitistError: If it is not there, no file, or too long.
    """
    require_file(path, wanted, error)
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as reason:
        raise error(f"{path} cannot be read: {reason.strerror}") from reason
    if len(content) > limit:
        raise error(f"{path} is longer than {limit / 2**20:,.0f} MB, too long for {wanted}")
    return content


def read_text(path: Path, wanted: str, error: type[PortraitistError] = BadFile, limit: int = _TEXT_LIMIT) -> str:
    """Read a text in UTF-8, with or without a mark at its beginning.

    Raises:
        PortraitistError: If it is not there, no file, too long, or not UTF-8.
    """
    try:
        return read_bytes(path, wanted, limit, error).decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        raise error(f"{path} is not text in UTF-8 (byte {reason.start:,}); save it as UTF-8") from reason


def read_yaml(path: Path, kind: str) -> Any:
    """Read a YAML file.

    Args:
        path: The file.
        kind: What it is, e.g. ``recipe``.

    Raises:
        BadConfig: If it cannot be read, in one line.
    """
    try:
        return parse_yaml(read_text(path, f"a {kind}"))
    except BadFile as error:
        reason = str(error).removeprefix(f"{path} ")
        raise BadConfig(f"cannot read the {kind} {path}: it {reason}") from error
    except ValueError as error:
        raise BadConfig(f"cannot read the {kind} {path}: {error}") from error


def parse_yaml(text: str) -> Any:
    """Return what a YAML text holds; ``1e-4`` is the number that it is in YAML 1.2.

    Raises:
        ValueError: If it is no YAML, or goes beyond bounds; in one line.
    """
    try:
        return yaml.load(text, _BoundedLoader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as reason:
        raise ValueError(" ".join(str(reason).split())) from reason


class _BoundedLoader(yaml.SafeLoader):
    """The safe loader, with bounds."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = 0
        # Values below and with each node that is complete, by its identity.
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        is_reference = self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"values are nested more than {_DEEPEST} deep")
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if is_reference:
            if id(node) not in self._sizes:
                raise ValueError("a value refers to itself")
            return node
        size = 1
        if isinstance(node, yaml.CollectionNode):
            parts = [part for each in node.value for part in (each if isinstance(each, tuple) else (each,))]
            size += sum(self._sizes[id(part)] for part in parts)
        if size > _MOST_VALUES:
            raise ValueError(f"it holds more than {_MOST_VALUES:,} values, references to others counted each time")
        self._sizes[id(node)] = size
        return node

    def construct_scalar(self, node: Any) -> Any:
        value = super().construct_scalar(node)
        if node.tag.endswith((":int", ":float")) and len(str(value)) > _LONGEST_NUMBER:
            raise ValueError(f"a number has {len(str(value)):,} digits")
        if isinstance(value, str) and not value.isascii():
            value.encode()  # half a character, by an escape
        return value


_BoundedLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)

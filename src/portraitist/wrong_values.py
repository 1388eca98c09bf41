"""What is wrong with values that should become settings, in one line: which, why, and the nearest name there is."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from portraitist.units import first_few


def first_wrong_value(error: ValidationError, kind: type[BaseModel], whole: str = "the file") -> str:
    """Say in a few words which value is wrong, and why.

    An unknown name comes first, as what is missing is often what was meant by it; then what lies deepest.

    Args:
        error: What pydantic says.
        kind: What the values should have become.
        whole: What to call all of them together.
    """
    errors = error.errors(include_url=False)
    first = min(errors, key=lambda each: (each["type"] != "extra_forbidden", -len(each["loc"])))
    unknown = first["type"] == "extra_forbidden"
    *above, last = first["loc"] or ("",)
    path = [str(part) for part in above if _is_name(part)] + [str(last)] * (unknown or _is_name(last))
    place = ".".join(path) or whole
    if unknown:
        known = [name for group in _groups(kind, path[:-1]) for name in _names(group)]
        near = get_close_matches(path[-1], known, 1)
        return f"there is no setting {place!r}" + (f"; did you mean {'.'.join([*path[:-1], *near])}?" if near else "")
    group = next(_groups(kind, path), None) if path and first["type"] == "model_type" else None
    if group is not None:
        names = _names(group)
        meant = f"{place}.name={first['input']}" if "name" in names else f"{place}.{names[0]}"
        return f"{place} is a group of settings ({first_few(names)}); did you mean {meant}?"
    return f"{place}: {first['msg']}"


def _is_name(part: str | int) -> bool:
    """Say whether a part of a place is a setting's; among them stand alternatives: `tuple[...]`, `SubjectEntry`."""
    return isinstance(part, int) or (part.islower() and "[" not in part)


def _names(group: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in group.model_fields.items()]


def _groups(kind: type[BaseModel], path: Sequence[str]) -> Iterator[type[BaseModel]]:
    """Yield the groups of settings that may be meant by a place; numbers say which of a list's."""
    if not path:
        yield kind
    elif path[0] in (fields := {field.alias or name: field for name, field in kind.model_fields.items()}):
        below = path[1:]
        while below and below[0].isdigit():
            below = below[1:]
        for group in _models(fields[path[0]].annotation):
            yield from _groups(group, below)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in a type: in alternatives, in lists, in values by name."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for part in get_args(annotation):
        yield from _models(part)

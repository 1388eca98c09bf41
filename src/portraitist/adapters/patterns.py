"""Choosing layers by patterns on their names. Needs no torch."""

from collections.abc import Hashable, Iterable, Sequence
from fnmatch import fnmatchcase

from portraitist.adapters.spec import LayerSpec


def select_layers(described: Iterable[tuple[LayerSpec, Hashable]], patterns: Sequence[str]) -> list[LayerSpec]:
    """Return the layers whose name matches a pattern, of several with one weight the first.

    Args:
        described: Layers with what tells their weights apart.
        patterns: As `find_layers` takes them.
    """
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    found, weights = [], set()
    for spec, weight in described:
        if not any(_matches(spec, p) for p in wanted) or any(_matches(spec, p) for p in unwanted):
            continue
        if (spec.kind, weight) not in weights:
            weights.add((spec.kind, weight))
            found.append(spec)
    return found


def _matches(spec: LayerSpec, pattern: str) -> bool:
    kind, colon, rest = pattern.partition(":")
    return fnmatchcase(spec.name, rest) and spec.kind.value == kind if colon else fnmatchcase(spec.name, pattern)

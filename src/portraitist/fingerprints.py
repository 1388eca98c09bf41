"""Comparing the fingerprints of bases.

A fingerprint is three hexadecimal numbers with hyphens between them: of names and shapes; of values rounded to
bfloat16; of values rounded to float16. Rounding twice is not rounding once, so copies in two precisions share one of
the last two, not always both. `portraitist.bases.fingerprint` makes them.
"""

_PARTS = 3


def same_weights(first: str, second: str) -> bool:
    """Say whether two fingerprints are of the same weights, in whatever precisions one was converted to the other."""
    if first == second:
        return True
    parts = list(zip(first.split("-"), second.split("-"), strict=False))
    return len(parts) == _PARTS and parts[0][0] == parts[0][1] and any(one == other for one, other in parts[1:])


def same_structure(first: str, second: str) -> bool:
    """Say whether two fingerprints are of models with the same names and shapes."""
    return first.split("-")[0] == second.split("-")[0]

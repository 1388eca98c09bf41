"""Whether an adapter belongs to a base."""

from portraitist.adapters import Adapter, BaseFacts
from portraitist.bases import Base
from portraitist.errors import BaseMismatch


def base_facts(base: Base, fingerprint: str | None = None) -> BaseFacts:
    """Return what tells a base from others, as adapters' files note it; a fingerprint stands in for its own."""
    family = base.family
    known = fingerprint or base.fingerprint
    return BaseFacts(base.name, family.name, known, base.precision, family.resolution, base.revision)


def check_base(adapter: Adapter, base: Base, force: bool = False) -> None:
    """Refuse an adapter that was made for a base with other weights.

    A copy of the same base in another precision is known again, but for float16 against bfloat16: there the weights
    cannot be told from those of a close relative, and `base_warning` says so.

    Args:
        adapter: The adapter; one that does not say what it was made for is let through.
        base: The base it is to be attached to.
        force: Let it through all the same.

    Raises:
        BaseMismatch: Naming both bases.
    """
    made_for, here = adapter.provenance.base, base_facts(base)
    if force or made_for is None or made_for.likeness(here) != "different":
        return
    raise BaseMismatch(
        f"the adapter was made for {made_for}, not for {here}; load the base it was made for, or use --force to try it"
        " anyway"
    )


def base_warning(adapter: Adapter, base: Base) -> str | None:
    """Say that it cannot be told whether an adapter was made for this base, though `check_base` let it through."""
    made_for, here = adapter.provenance.base, base_facts(base)
    if made_for is None or made_for.likeness(here) != "indistinguishable":
        return None
    return (
        f"the adapter was made for {made_for.name or 'another base'} in {made_for.dtype}; {here.name} in {here.dtype}"
        " has the same layers, but whether it is the same model cannot be told across these two"
    )

"""Whether an adapter belongs to a base."""

import re
from collections.abc import Mapping
from typing import Any

from portraitist.adapters import Adapter
from portraitist.bases import Base, same_structure, same_weights
from portraitist.errors import BaseMismatch

# A value rounded to one of these cannot be told from its neighbours rounded to the other.
_INCOMPARABLE = {"float16", "bfloat16"}


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
    made_for = adapter.metadata.get("base")
    if force or not isinstance(made_for, dict) or made_for.get("fingerprint") is None:
        return
    wanted = str(made_for["fingerprint"])
    if same_weights(wanted, base.fingerprint) or _precisions_hide(made_for, base):
        return
    raise BaseMismatch(
        f"the adapter was made for {made_for.get('name', 'another base')} (fingerprint {wanted}), not for {base.name}"
        f" (fingerprint {base.fingerprint}); load the base it was made for, or use --force to try it all the same"
    )


def base_warning(adapter: Adapter, base: Base) -> str | None:
    """Say that it cannot be told whether an adapter was made for this base, though `check_base` let it through."""
    made_for = adapter.metadata.get("base")
    if not isinstance(made_for, dict) or not _precisions_hide(made_for, base):
        return None
    return (
        f"the adapter was made for {made_for.get('name', 'another base')} in {made_for['dtype']}; {base.name} in"
        f" {base.precision} has the same layers, but whether it is the same model cannot be told across these two"
    )


def _precisions_hide(made_for: Mapping[str, Any], base: Base) -> bool:
    """Say whether only the precisions, float16 and bfloat16, may keep two fingerprints from agreeing."""
    wanted = str(made_for.get("fingerprint"))
    return (
        {made_for.get("dtype"), base.precision} == _INCOMPARABLE
        and same_structure(wanted, base.fingerprint)
        and not same_weights(wanted, base.fingerprint)
    )


def prompt_warning(prompt: str, adapter: Adapter) -> str | None:
    """Say that a prompt names none of an adapter's subjects, so that the adapter may do little."""
    one, several = adapter.metadata.get("subject"), adapter.metadata.get("subjects")
    subjects = several if isinstance(several, list) else [one]
    tokens = [str(subject.get("token", "")) for subject in subjects if isinstance(subject, dict)]
    known = [token for token in tokens if token]
    if not known or any(re.search(rf"(?<!\w){re.escape(token)}(?!\w)", prompt, re.IGNORECASE) for token in known):
        return None
    trigger = adapter.metadata.get("trigger", known[0])
    named = " or ".join(map(repr, known))
    return f"the prompt {prompt!r} does not hold {named}; write {trigger!r} where the subject is meant"

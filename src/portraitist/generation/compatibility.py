"""Whether an adapter belongs to a base."""

import re

from portraitist.adapters import Adapter
from portraitist.bases import Base
from portraitist.errors import BaseMismatch


def check_base(adapter: Adapter, base: Base, force: bool = False) -> None:
    """Refuse an adapter that was made for a base with other weights.

    Args:
        adapter: The adapter; one that does not say what it was made for is let through.
        base: The base it is to be attached to.
        force: Let it through all the same.

    Raises:
        BaseMismatch: Naming both bases.
    """
    made_for = adapter.metadata.get("base")
    if force or not isinstance(made_for, dict) or made_for.get("fingerprint") in (None, base.fingerprint):
        return
    name = made_for.get("name", "another base")
    raise BaseMismatch(
        f"the adapter was made for {name} (fingerprint {made_for['fingerprint']}), not for {base.name} (fingerprint"
        f" {base.fingerprint}); load the base it was made for, or use --force to try it all the same"
    )


def prompt_warning(prompt: str, adapter: Adapter) -> str | None:
    """Say that a prompt does not name an adapter's subject, so that the adapter may do little."""
    subject = adapter.metadata.get("subject")
    token = str(subject.get("token", "")) if isinstance(subject, dict) else ""
    if not token or re.search(rf"(?<!\w){re.escape(token)}(?!\w)", prompt, re.IGNORECASE):
        return None
    trigger = adapter.metadata.get("trigger", token)
    return f"the prompt {prompt!r} does not hold {token!r}; write {trigger!r} where the subject is meant"

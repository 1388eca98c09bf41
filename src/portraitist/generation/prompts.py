"""What a prompt has to say for an adapter to show its subject."""

import re

from portraitist.adapters import Adapter
from portraitist.errors import BadConfig


def require_text(prompt: str) -> None:
    """Refuse a prompt with bytes that are no text, as a shell may hand them over.

    Raises:
        BadConfig: If it is one.
    """
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise BadConfig(f"the prompt {prompt!r} is not text in UTF-8; write it anew") from error


def prompt_warning(prompt: str, adapter: Adapter) -> str | None:
    """Say that a prompt names none of an adapter's subjects, so that the adapter may do little."""
    known = [subject.token for subject in adapter.provenance.subjects if subject.token]
    if not known or any(re.search(rf"(?<!\w){re.escape(token)}(?!\w)", prompt, re.IGNORECASE) for token in known):
        return None
    trigger = adapter.provenance.trigger or known[0]
    named = " or ".join(map(repr, known))
    return f"the prompt {prompt!r} does not contain {named}; write {trigger!r} to refer to the subject"

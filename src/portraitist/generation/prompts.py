"""What a prompt has to say for an adapter to show its subject."""

import re
from typing import TYPE_CHECKING

from portraitist.errors import BadConfig

if TYPE_CHECKING:
    from portraitist.adapters import Adapter

# As A1111 and its successors write the weight of words, and LoRAs.
_WEIGHT = re.compile(r"\([^()<>]+:\s*\d*\.?\d+\s*\)")
_LORA = re.compile(r"<(?:lora|lyco):([^:<>]+)(?::([^:<>]*))?[^<>]*>")


def require_text(prompt: str) -> None:
    """Refuse a prompt with bytes that are no text, as a shell may hand them over.

    Raises:
        BadConfig: If it is one.
    """
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise BadConfig(f"the prompt {prompt!r} is not valid UTF-8; type it again") from error


def prompt_warning(prompt: str, adapter: "Adapter") -> str | None:
    """Say that a prompt names none of an adapter's subjects, so that the adapter may do little."""
    known = [subject.token for subject in adapter.provenance.subjects if subject.token]
    if not known or any(re.search(rf"(?<!\w){re.escape(token)}(?!\w)", prompt, re.IGNORECASE) for token in known):
        return None
    trigger = adapter.provenance.trigger or known[0]
    named = " or ".join(map(repr, known))
    return f"the prompt {prompt!r} does not contain {named}; write {trigger!r} to refer to the subject"


def syntax_warnings(prompt: str) -> list[str]:
    """Say what of a prompt means something in other programs, and is read as plain text here."""
    lines = []
    if weight := _WEIGHT.search(prompt):
        lines.append(
            f"{weight[0]} in the prompt is read as text, as words have no weights here; name what matters first, or say"
            " it twice"
        )
    for name, scale in _LORA.findall(prompt):
        file = f"{name}.safetensors:{scale}" if scale else f"{name}.safetensors"
        lines.append(f"<lora:{name}> in the prompt is read as text; load the LoRA with --adapter {file}")
    return lines

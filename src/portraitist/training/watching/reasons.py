"""Why a watch kept a step, in words for whoever reads about a finished run."""

_REASONS = {
    "validation": "the smallest loss on pictures kept from training",
    "score": "the best product of likeness and faithfulness to prompts",
}


def kept_words(kept: object, rule: object) -> str | None:
    """Say which step was kept and why, as an adapter's file notes it; None if it notes none.

    Args:
        kept: The step.
        rule: Name of the number that decided.
    """
    if not isinstance(kept, int) or isinstance(kept, bool):
        return None
    reason = _REASONS.get(rule) if isinstance(rule, str) else None
    return f"step {kept}, which had {reason}" if reason else f"step {kept}"

"""What came of a run, in words: from the facts that an adapter's file notes of its training."""

from collections.abc import Mapping
from math import isfinite

_REASONS = {
    "validation": "the smallest loss on pictures kept from training",
    "score": "the best product of likeness and faithfulness to prompts",
}
_LOSSES = {"fixed_noise": "on fixed noise", "validation": "on pictures kept from training"}


def kept_words(training: Mapping[str, object]) -> str | None:
    """Say which step a watched run kept and why; None if the file notes none."""
    kept, rule = training.get("kept_step"), training.get("kept_by")
    if not isinstance(kept, int) or isinstance(kept, bool):
        return None
    reason = _REASONS.get(rule) if isinstance(rule, str) else None
    return f"step {kept}, which had {reason}" if reason else f"step {kept}"


def loss_words(training: Mapping[str, object]) -> str | None:
    """Say what losses were before the run and are after it; None if the file notes none."""
    parts = []
    for name, words in _LOSSES.items():
        before, after = training.get(f"{name}_before"), training.get(f"{name}_after")
        if isinstance(before, float) and isinstance(after, float) and isfinite(before) and isfinite(after):
            parts.append(f"{words}: {before:#.3g} -> {after:#.3g}")
    return "; ".join(parts) or None

"""Settings and their values in words."""

from typing import Any


def setting_words(name: str) -> str:
    """Return a setting's name in words: ``method_config.out_factor`` is ``out factor``."""
    return name.rpartition(".")[2].replace("_", " ")


def value_words(value: Any) -> str:
    """Return a setting's value in words: no more digits of a number than it needs."""
    return f"{value:g}" if isinstance(value, float) else str(value)

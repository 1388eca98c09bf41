"""``portraitist methods``: what can be trained."""

from dataclasses import fields
from typing import TYPE_CHECKING

from portraitist.cli.reporting import say

if TYPE_CHECKING:
    from portraitist.adapters.registry import Method


def methods() -> None:
    """List the methods: what each changes, and its settings."""
    from rich.table import Table

    from portraitist.adapters import list_methods

    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("method", "what it learns", "on", "settings", "source"):
        table.add_column(title, no_wrap=title == "method")
    for method in list_methods():
        kinds = ", ".join(kind.value for kind in method.layers)
        table.add_row(method.name, method.summary, kinds, _settings(method), method.paper)
    say(table)


def _settings(method: "Method") -> str:
    return ", ".join(f"{field.name}={field.default}" for field in fields(method.config))

"""``portraitist methods``: what can be trained."""

from dataclasses import fields

from portraitist.cli.reporting import fact, say


def methods() -> None:
    """List the methods: what each learns, on which layers, its settings and its source."""
    from portraitist.adapters import list_methods

    for position, method in enumerate(list_methods()):
        if position:
            say()
        say(method.name, style="bold")
        fact("  learns", method.summary)
        fact("  on", ", ".join(kind.value for kind in method.layers))
        fact("  settings", ", ".join(f"{field.name}={field.default}" for field in fields(method.config)))
        fact("  source", method.paper)

"""``portraitist methods``: what can be trained.

What is listed stands in ``methods.yaml`` beside this module, as `describe_methods` gives it: the methods themselves are
formulas on tensors, and a list should not wait for torch. A test holds the two together.
"""

from dataclasses import fields
from importlib.resources import files

import yaml

from portraitist.cli.reporting import fact, say

LISTING = files("portraitist.cli").joinpath("methods.yaml")


def methods() -> None:
    """List the methods: what each learns, on which layers, its settings and its source."""
    for position, (name, facts) in enumerate(yaml.safe_load(LISTING.read_text(encoding="utf-8")).items()):
        if position:
            say()
        say(name, style="bold")
        for what, value in facts.items():
            fact(f"  {what}", value)


def describe_methods() -> str:
    """Return the listing as YAML, from the methods themselves."""
    from portraitist.adapters import list_methods

    listing = {
        method.name: {
            "learns": method.summary,
            "on": ", ".join(kind.value for kind in method.layers),
            "settings": ", ".join(f"{field.name}={field.default}" for field in fields(method.config)),
            "source": method.paper,
        }
        for method in list_methods()
    }
    return yaml.safe_dump(listing, sort_keys=False, width=120)

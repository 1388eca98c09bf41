"""The methods, one file each. Adding one means adding its file, that of its layout, and its place in the tuples."""

from portraitist.adapters.combination import combine
from portraitist.adapters.layouts import get_layout
from portraitist.adapters.layouts.combination import SIGN
from portraitist.adapters.method import Method
from portraitist.adapters.methods.dora import DORA
from portraitist.adapters.methods.full import FULL
from portraitist.adapters.methods.krona import KRONA
from portraitist.adapters.methods.lidb import LIDB
from portraitist.adapters.methods.loha import LOHA
from portraitist.adapters.methods.lora import LORA
from portraitist.adapters.methods.svdiff import SVDIFF
from portraitist.adapters.methods.textual_inversion import TEXTUAL_INVERSION

_METHODS = (LORA, KRONA, LIDB, SVDIFF, TEXTUAL_INVERSION, DORA, LOHA, FULL)


def list_methods() -> list[Method]:
    """Return all methods."""
    return list(_METHODS)


def get_method(name: str) -> Method:
    """Return a method by name, or several as one by their names with ``+`` between them.

    Raises:
        BadConfig: If there is none, naming those there are.
    """
    if SIGN in name:
        return combine([get_method(part) for part in name.split(SIGN)])
    layout = get_layout(name)
    return next(method for method in _METHODS if method.layout is layout)

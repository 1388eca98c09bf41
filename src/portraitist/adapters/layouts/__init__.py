"""The methods' layouts, one file each: configurations and shapes of parameters, all it takes to describe adapters."""

from portraitist.adapters.layouts.combination import SIGN, combine_layouts
from portraitist.adapters.layouts.dora import DORA
from portraitist.adapters.layouts.full import FULL
from portraitist.adapters.layouts.krona import KRONA
from portraitist.adapters.layouts.layout import Layout
from portraitist.adapters.layouts.lidb import LIDB
from portraitist.adapters.layouts.loha import LOHA
from portraitist.adapters.layouts.lora import LORA
from portraitist.adapters.layouts.svdiff import SVDIFF
from portraitist.adapters.layouts.textual_inversion import TEXTUAL_INVERSION
from portraitist.errors import BadConfig

_LAYOUTS = (LORA, KRONA, LIDB, SVDIFF, TEXTUAL_INVERSION, DORA, LOHA, FULL)


def get_layout(name: str) -> Layout:
    """Return the layout of a method by name, or that of several as one by their names with ``+`` between them.

    Raises:
        BadConfig: If there is none, naming those there are.
    """
    if SIGN in name:
        return combine_layouts([get_layout(part) for part in name.split(SIGN)])
    for layout in _LAYOUTS:
        if layout.name == name:
            return layout
    raise BadConfig(f"unknown method {name!r}; choose one of {', '.join(layout.name for layout in _LAYOUTS)}")

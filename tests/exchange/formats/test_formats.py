"""The list of formats."""

import pytest

from portraitist.errors import BadConfig
from portraitist.exchange.formats import get_format, list_formats


def test_listing() -> None:
    formats = list_formats()
    assert formats[0].name == "portraitist"
    assert len({each.name for each in formats}) == len(formats)
    assert all(each.description for each in formats)
    assert get_format("kohya").holds is not None
    with pytest.raises(BadConfig, match="unknown format 'ckpt'; choose one of portraitist, diffusers"):
        get_format("ckpt")

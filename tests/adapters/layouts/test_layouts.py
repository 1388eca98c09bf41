"""Layouts and methods belong together: the same names, kinds of layer and shapes."""

import pytest

from portraitist.adapters import Kind, LayerSpec, get_method, list_methods
from portraitist.adapters.layouts import get_layout

SPECS = {
    Kind.LINEAR: LayerSpec("m.x", Kind.LINEAR, (128, 192), bias=(128,)),
    Kind.CONV: LayerSpec("m.x", Kind.CONV, (128, 64, 3, 3)),
    Kind.TRANSPOSED: LayerSpec("m.x", Kind.TRANSPOSED, (128, 64, 3, 3)),
    Kind.NORM: LayerSpec("m.x", Kind.NORM, (128,), bias=(128,)),
    Kind.EMBEDDING: LayerSpec("m.x", Kind.EMBEDDING, (128, 64)),
}
WORDS = {"token_ids": [3, 5]}
CONFIGS = {"textual-inversion": WORDS, "textual-inversion+krona": {"textual-inversion": WORDS}}


@pytest.mark.parametrize("name", [*(method.name for method in list_methods()), "textual-inversion+krona"])
def test_a_method_has_the_parameters_of_its_layout(name: str) -> None:
    layout, method = get_layout(name), get_method(name)
    assert (method.name, list(method.layers)) == (layout.name, list(layout.shapes))
    config = layout.parse_config(CONFIGS.get(name, {}))
    for kind in layout.shapes:
        assert method.layer(SPECS[kind], config).shapes() == layout.layer_shapes(SPECS[kind], config)

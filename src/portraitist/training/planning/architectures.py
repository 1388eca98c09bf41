"""The layers of published architectures, listed in files, so that adapters are counted without building models.

`portraitist.training.planning.listing` writes the files in ``listings/``, and a test holds the two together.
"""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from portraitist.adapters.description import pack_specs, unpack_specs
from portraitist.adapters.spec import LayerSpec

FOLDER = files("portraitist.training.planning").joinpath("listings")
_SUFFIX = ".json.gz"


@dataclass(frozen=True)
class Architecture:
    """What is known of a model without building it.

    Attributes:
        family: Its family's name.
        parameters: How many each component has.
        layers: The layers that can be adapted.
        shared: By the name of a layer whose weight is another's too, the name of the first layer that has it.
    """

    family: str
    parameters: Mapping[str, int]
    layers: tuple[LayerSpec, ...]
    shared: Mapping[str, str]

    @property
    def described(self) -> list[tuple[LayerSpec, str]]:
        """Return the layers with what tells their weights apart."""
        return [(spec, self.shared.get(spec.name, spec.name)) for spec in self.layers]

    def pack(self) -> bytes:
        """Return it as it stands in a file."""
        content = {
            "family": self.family,
            "numbers": self.parameters,
            "names": [spec.name for spec in self.layers],
            **pack_specs(self.layers),
            "shared": self.shared,
        }
        return gzip.compress(json.dumps(content).encode(), mtime=0)


def read_architecture(name: str) -> Architecture | None:
    """Return a listed architecture by name; None if there is none of this name."""
    listed = {file.name: file for file in FOLDER.iterdir()}
    if name + _SUFFIX not in listed:
        return None
    content = json.loads(gzip.decompress(listed[name + _SUFFIX].read_bytes()))
    layers = unpack_specs(content["names"], content["geometries"], content["layers"])
    return Architecture(content["family"], content["numbers"], tuple(layers.values()), content["shared"])

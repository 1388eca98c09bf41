"""Writing a hypernetwork into a folder: configuration, weights in float16, a model card."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from portraitist.cache import checksum
from portraitist.files import write_aside
from portraitist.hypernetworks.description import CARD, CONFIG, WEIGHTS, Description, model_card
from portraitist.hypernetworks.kinds import KnownKinds

# Beside the network's tensors: what photos of the kinds look like, and a checksum of the tensors and the configuration.
KINDS, CHECKSUM = "kinds.", "checksum"


def save_hypernetwork(
    folder: Path,
    description: Description,
    weights: Mapping[str, Tensor],
    known: KnownKinds,
    facts: Mapping[str, float],
    numbers: int,
) -> None:
    """Write a hypernetwork; each of its files appears complete or not at all, the one that is looked for last.

    Args:
        folder: Where it goes, beside whatever else is there.
        description: What it says of itself.
        weights: All tensors of its network.
        known: What photos of its kinds look like.
        facts: Figures of the training, for the model card.
        numbers: Numbers of a predicted adapter.
    """
    config = description.model_dump_json(indent=2) + "\n"
    tensors = {name: value.detach().cpu() for name, value in weights.items()}
    tensors |= {f"{KINDS}{name}": value for name, value in known.tensors().items()}
    halves = {name: (v.half() if v.is_floating_point() else v).contiguous() for name, v in tensors.items()}
    with write_aside(folder / WEIGHTS) as temporary:
        save_file(halves, temporary, metadata={CHECKSUM: checksum(halves, config)})
    with write_aside(folder / CARD) as temporary:
        temporary.write_text(model_card(description, facts, numbers))
    with write_aside(folder / CONFIG) as temporary:
        temporary.write_text(config)

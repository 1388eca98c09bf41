"""Hypernetworks in folders: configuration, weights in float16, a model card; and those that ship with the package."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from portraitist.errors import BadConfig, BadFile
from portraitist.files import write_aside
from portraitist.hypernetworks.description import CARD, CONFIG, WEIGHTS, Description, model_card, read_description
from portraitist.hypernetworks.kinds import KnownKinds
from portraitist.hypernetworks.networks.outputs import Output
from portraitist.hypernetworks.networks.predictor import Predictor

_KINDS = "kinds."


@dataclass(frozen=True)
class SavedHypernetwork:
    """A hypernetwork ready for use.

    Attributes:
        name: What it was asked for by.
        description: What its folder says.
        predictor: Its network.
        known: What photos of the kinds it was trained on look like.
    """

    name: str
    description: Description
    predictor: Predictor
    known: KnownKinds


def build_predictor(description: Description, token_scale: float = 1.0) -> Predictor:
    """Build an untrained network as it is described."""
    recipe = description.recipe
    specs = [layer.spec() for layer in description.layers]
    output = Output(recipe.output, specs, description.token_ids, token_scale)
    return Predictor(recipe.decoder, description.shapes, output)


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
    tensors = {name: value.detach().cpu() for name, value in weights.items()}
    tensors |= {f"{_KINDS}{name}": value for name, value in known.tensors().items()}
    halves = {name: (v.half() if v.is_floating_point() else v).contiguous() for name, v in tensors.items()}
    with write_aside(folder / WEIGHTS) as temporary:
        save_file(halves, temporary)
    with write_aside(folder / CARD) as temporary:
        temporary.write_text(model_card(description, facts, numbers))
    with write_aside(folder / CONFIG) as temporary:
        temporary.write_text(description.model_dump_json(indent=2) + "\n")


def load_hypernetwork(name: str, device: str | torch.device = "cpu") -> SavedHypernetwork:
    """Load a hypernetwork by the name of one that ships, or by its folder.

    Raises:
        BadConfig: If there is none of this name.
        BadFile: If its folder is damaged.
    """
    folder = locate(name)
    description = read_description(folder)
    predictor = build_predictor(description)
    try:
        tensors = {key: v.float() if v.is_floating_point() else v for key, v in load_file(folder / WEIGHTS).items()}
        kinds = {key.removeprefix(_KINDS): value for key, value in tensors.items() if key.startswith(_KINDS)}
        known = KnownKinds.of(tuple(description.kinds), kinds)
        predictor.load_state_dict({key: value for key, value in tensors.items() if not key.startswith(_KINDS)})
    except (OSError, RuntimeError, KeyError, SafetensorError) as error:
        said = " ".join(str(error).split())[:200]
        raise BadFile(f"the weights of the hypernetwork in {folder} are damaged or missing ({said})") from error
    return SavedHypernetwork(name, description, predictor.to(device).eval().requires_grad_(False), known)


def list_hypernetworks() -> dict[str, Path]:
    """Return the hypernetworks that ship with the package, by name."""
    return {folder.name: folder for folder in _shipped()}


def locate(name: str) -> Path:
    """Return the folder of a hypernetwork.

    Raises:
        BadConfig: If there is none, naming those there are.
    """
    shipped = list_hypernetworks()
    if name in shipped:
        return shipped[name]
    if Path(name).is_dir():
        return Path(name)
    raise BadConfig(f"there is no hypernetwork {name!r}; give a folder, or one of: {', '.join(shipped) or 'none ship'}")


def shipped_for(fingerprint: str) -> str | None:
    """Return the name of a shipped hypernetwork for a base; None if there is none."""
    for name, folder in list_hypernetworks().items():
        if read_description(folder).base_facts.fingerprint == fingerprint:
            return name
    return None


def _shipped() -> Iterator[Path]:
    root = Path(str(files("portraitist.hypernetworks"))) / "builtin"
    return (path.parent for path in sorted(root.glob(f"*/{CONFIG}")))

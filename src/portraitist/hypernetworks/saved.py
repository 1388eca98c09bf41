"""Hypernetworks in folders, loaded for use; and those that ship with the package."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from portraitist.errors import BadConfig, BadFile
from portraitist.hypernetworks.description import CONFIG, WEIGHTS, Description, read_description
from portraitist.hypernetworks.kinds import KnownKinds
from portraitist.hypernetworks.networks.contract import PhotoToAdapter
from portraitist.hypernetworks.saving import KINDS
from portraitist.hypernetworks.systems import SYSTEMS


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
    predictor: PhotoToAdapter
    known: KnownKinds


def load_hypernetwork(name: str, device: str | torch.device = "cpu") -> SavedHypernetwork:
    """Load a hypernetwork by the name of one that ships, or by its folder.

    Raises:
        BadConfig: If there is none of this name.
        BadFile: If its folder is damaged.
    """
    folder = locate(name)
    description = read_description(folder)
    predictor = SYSTEMS[description.method].build(description)
    try:
        tensors = {key: v.float() if v.is_floating_point() else v for key, v in load_file(folder / WEIGHTS).items()}
        kinds = {key.removeprefix(KINDS): value for key, value in tensors.items() if key.startswith(KINDS)}
        known = KnownKinds.of(tuple(description.kinds), kinds)
        predictor.load_state_dict({key: value for key, value in tensors.items() if not key.startswith(KINDS)})
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

"""Hypernetworks in folders, loaded for use; and those that ship with the package."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from portraitist.cache import checksum
from portraitist.errors import BadConfig, BadFile
from portraitist.hypernetworks.description import CONFIG, WEIGHTS, Description, read_description
from portraitist.hypernetworks.kinds import KnownKinds
from portraitist.hypernetworks.networks.contract import PhotoToAdapter
from portraitist.hypernetworks.saving import CHECKSUM, KINDS
from portraitist.hypernetworks.systems import get_system


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
    build = get_system(description.method).build
    try:
        tensors = {key: v.float() if v.is_floating_point() else v for key, v in _read(folder).items()}
        with torch.device("meta"):  # what is described may be larger than anything that was written
            shapes = {name: value.shape for name, value in build(description).state_dict().items()}
        if wrong := next((name for name, shape in shapes.items() if _shape(tensors, name) != shape), None):
            raise ValueError(f"{wrong} is not as it is described")
        predictor = build(description)
        kinds = {key.removeprefix(KINDS): value for key, value in tensors.items() if key.startswith(KINDS)}
        known = KnownKinds.of(tuple(description.kinds), kinds)
        predictor.load_state_dict({key: value for key, value in tensors.items() if not key.startswith(KINDS)})
    except (OSError, ArithmeticError, RuntimeError, LookupError, TypeError, ValueError, SafetensorError) as error:
        said = " ".join(str(error).split())[:200]
        raise BadFile(f"the weights of the hypernetwork in {folder} are damaged or missing ({said})") from error
    return SavedHypernetwork(name, description, predictor.to(device).eval().requires_grad_(False), known)


def _shape(tensors: Mapping[str, Tensor], name: str) -> torch.Size | None:
    return tensors[name].shape if name in tensors else None


def _read(folder: Path) -> dict[str, Tensor]:
    """Return all tensors; folders of earlier versions have no checksum.

    Raises:
        ValueError: If they are not those that were written with this description, or no finite numbers.
    """
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        noted = (file.metadata() or {}).get(CHECKSUM)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    if noted is not None and noted != checksum(tensors, (folder / CONFIG).read_text()):
        raise ValueError(f"they are not those that {CONFIG} was written with")
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise ValueError("some numbers are not finite")
    return tensors


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
    others = f", or one of: {', '.join(shipped)}" if shipped else ""
    raise BadConfig(f"there is no hypernetwork {name!r}; give a folder{others}")


def shipped_for(fingerprint: str) -> str | None:
    """Return the name of a shipped hypernetwork for a base; None if there is none."""
    for name, folder in list_hypernetworks().items():
        if read_description(folder).base_facts.fingerprint == fingerprint:
            return name
    return None


def _shipped() -> Iterator[Path]:
    root = Path(str(files("portraitist.hypernetworks"))) / "builtin"
    return (path.parent for path in sorted(root.glob(f"*/{CONFIG}")))

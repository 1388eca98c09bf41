"""Published architectures from their public configurations, without weights: for counts, plans and benchmarks."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import nn

from portraitist.bases.clip_tokenizer import build_clip_tokenizer
from portraitist.bases.families import find_family
from portraitist.bases.hub import INDEX
from portraitist.bases.sources import Source, read_index
from portraitist.errors import BadConfig

_FOLDER = files("portraitist.bases").joinpath("configs")
# Components a pipeline may have whose weights no method adapts or counts as parameters of fine-tuning.
_PASSIVE = ("vae", "safety_checker", "image_encoder", "feature_extractor")


def list_architectures() -> list[str]:
    """Return the names of the architectures known here."""
    return sorted(file.name.removesuffix(".json") for file in _FOLDER.iterdir() if file.name.endswith(".json"))


def build_architecture(
    name: str | Path, device: str = "meta", dtype: torch.dtype = torch.float32, components: tuple[str, ...] = ()
) -> dict[str, nn.Module]:
    """Build the trainable components of an architecture, on the meta device unless asked otherwise.

    Args:
        name: A name of `list_architectures`, or a folder in the diffusers layout (its configurations are read, its
            weights are not).
        device: ``meta`` makes no weights; any other device makes random ones.
        dtype: Precision of the weights.
        components: Only these; all but the autoencoder when empty.

    Raises:
        BadConfig: If there is no such architecture.
    """
    found = _folder_configs(Path(name)) if Path(name).is_dir() else _named(str(name))["components"]
    wanted = components or tuple(key for key in found if key not in _PASSIVE)
    if missing := [key for key in wanted if key not in found]:
        raise BadConfig(f"{name} has no component {missing[0]!r}; it has {', '.join(found)}")
    return {key: _build(found[key], device, dtype) for key in wanted}


def architecture_family(name: str | Path) -> str:
    """Return the family of a named architecture, or of a folder in the diffusers layout.

    Raises:
        BadConfig: If there is no such architecture, or its family is not known.
    """
    if not Path(name).is_dir():
        return str(_named(str(name))["family"])
    return find_family(read_index(Source(Path(name)))["_class_name"], str(name)).name


def read_scheduler(name: str | Path) -> dict[str, Any]:
    """Return the scheduler's configuration of a named architecture or a folder; empty where none is known.

    Raises:
        BadConfig: If it cannot be read.
    """
    if not Path(name).is_dir():
        return dict(_named(str(name)).get("scheduler", {}))
    file = Path(name) / "scheduler" / "scheduler_config.json"
    try:
        content: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise BadConfig(f"{file} cannot be read ({error})") from error
    return content


def write_architecture(name: str, folder: Path) -> str:
    """Write an architecture in the diffusers layout, complete but for the weights.

    Returns:
        The name of its pipeline class.

    Raises:
        BadConfig: If there is no such architecture, or it is known for its sizes only.
    """
    content = _named(name)
    if "pipeline" not in content:
        raise BadConfig(f"the architecture {name} is known by its sizes only, without tokenizers")
    index: dict[str, Any] = {"_class_name": content["pipeline"], **content.get("options", {})}
    for component, config in {**content["components"], "scheduler": content["scheduler"]}.items():
        index[component] = [_write_component(component, config, folder / component), config["_class_name"]]
    for component, settings in content["tokenizers"].items():
        index[component] = ["transformers", "CLIPTokenizer"]
        build_clip_tokenizer(**settings).save_pretrained(folder / component)
    (folder / INDEX).write_text(json.dumps(index))
    return str(content["pipeline"])


def _write_component(name: str, config: dict[str, Any], folder: Path) -> str:
    """Write a component's configuration; returns the library it is of."""
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    if not name.startswith("text_encoder"):
        file = "scheduler_config.json" if name == "scheduler" else "config.json"
        (folder / file).write_text(json.dumps(config))
        return "diffusers"
    settings = {key: value for key, value in config.items() if key != "_class_name"}
    getattr(transformers, config["_class_name"]).config_class(**settings).save_pretrained(folder)
    return "transformers"


def _named(name: str) -> dict[str, Any]:
    path = _FOLDER.joinpath(f"{name}.json")
    if name not in list_architectures():
        raise BadConfig(
            f"there is no architecture {name!r}; choose one of {', '.join(list_architectures())}, or a folder"
        )
    content: dict[str, Any] = json.loads(path.read_text())
    if "like" not in content:
        return content
    like = _named(content["like"])
    return {**like, **content, "scheduler": {**like["scheduler"], **content["scheduler"]}}


def _folder_configs(folder: Path) -> dict[str, dict[str, Any]]:
    index = read_index(Source(folder))
    try:
        return {
            key: {"_class_name": value[1], **json.loads((folder / key / "config.json").read_text())}
            for key, value in index.items()
            if isinstance(value, list) and value[0] and (folder / key / "config.json").exists()
        }
    except (OSError, ValueError) as error:
        raise BadConfig(f"{folder} is not a folder in the diffusers layout ({error})") from error


def _build(config: dict[str, Any], device: str, dtype: torch.dtype) -> nn.Module:
    import diffusers
    import transformers

    name = config["_class_name"]
    try:
        with torch.device(device), _default_dtype(dtype):
            if hasattr(diffusers, name):
                model = getattr(diffusers, name).from_config(config)
            else:
                cls = getattr(transformers, name)
                arguments = {key: value for key, value in config.items() if not key.startswith("_")}
                model = cls(cls.config_class(**arguments))
    except (AttributeError, TypeError, ValueError) as error:
        raise BadConfig(f"the configuration of a {name} cannot be used ({error})") from error
    result: nn.Module = model.eval().requires_grad_(False)
    return result


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Give new weights a precision from the start: no second copy, and no tensors swapped while they are counted."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(usual)

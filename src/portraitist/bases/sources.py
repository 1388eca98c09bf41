"""What a base's name means: a model that ships with the package, a folder, a hub id, or a single file."""

import json
import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from portraitist.bases.hub import INDEX, find_cached, is_offline
from portraitist.errors import BadConfig

BUILTIN = ("toyland",)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_CHECKPOINT = ".safetensors"
_PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
# What a pipeline needs of a repository: its folders, not the single-file checkpoints beside them.
_DOWNLOAD = ("*.json", "*/*.txt", "*/*.model", "*/*.safetensors")


@dataclass(frozen=True)
class Source:
    """Where a base is on this machine.

    Attributes:
        path: A folder in the diffusers layout, or a single-file checkpoint.
        detail: What stood behind an ``@`` after a checkpoint: the architecture's name or configuration folder.
        advice: How to get the base (again) if it turns out to be incomplete.
        revision: The commit of a hub model.
    """

    path: Path
    detail: str = ""
    advice: str = "get it again"
    revision: str | None = None

    @property
    def is_single_file(self) -> bool:
        """Say whether it is a single-file checkpoint."""
        return self.path.is_file()


class Fetch(Protocol):
    """Brings a hub model into the cache, or completes it."""

    def __call__(self, model: str, revision: str, there: Path | None, *, without: Collection[str] = ()) -> Path:
        """Return the snapshot of a model at a revision, from the one that is there; `without` the weights of parts."""
        ...


def find_source(name: str, fetch: Fetch | None = None) -> Source:
    """Find a base by what the user calls it.

    Args:
        name: A built-in name; a folder in the diffusers layout; ``FILE.safetensors``, also with ``@ARCHITECTURE``,
            ``@FOLDER`` or a hub id behind it; or a hub id, ``owner/model`` or ``owner/model@revision``.
        fetch: Called for hub models, unless the hub is not to be asked; nothing is downloaded without.

    Raises:
        BadConfig: If there is none; says what to do.
    """
    if name in BUILTIN:
        return Source(Path(str(files("portraitist.bases").joinpath("builtin").joinpath(name))))
    path = Path(name)
    # Of several @, a file's name may hold the first, a hub id with a revision behind it the last.
    last, first = name.rpartition("@"), name.partition("@")
    for candidate, extra in ((path, ""), (Path(last[0]), last[2]), (Path(first[0]), first[2])):
        if candidate.suffix.lower() in _PICKLES and not candidate.is_dir():
            raise BadConfig(_refusal(candidate))
        if candidate.is_file():
            if candidate.suffix != _CHECKPOINT:
                raise BadConfig(f"base {name!r} is a file; single-file checkpoints end in {_CHECKPOINT}")
            return Source(candidate, extra)
        if candidate.suffix == _CHECKPOINT:
            raise BadConfig(f"base {name!r} does not exist here; give the path of a checkpoint")
    if path.is_dir():
        return Source(path)
    if _HUB_ID.fullmatch(name):
        return _on_hub(name, fetch)
    raise BadConfig(
        f"base {name!r} is neither a folder here nor a hub id; give {', '.join(BUILTIN)}, a diffusers folder, a"
        f" {_CHECKPOINT} checkpoint, or owner/model[@revision]"
    )


def read_index(source: Source) -> dict[str, Any]:
    """Read a folder's ``model_index.json``.

    Raises:
        BadConfig: If it is missing, damaged or names no pipeline class.
    """
    try:
        content = json.loads((source.path / INDEX).read_text())
    except (OSError, ValueError) as error:
        if source.path.parent.name == "builtin":
            name = source.path.name
            raise BadConfig(
                f"this build of the package has no finished {name}; make it with `portraitist {name} train` and give"
                " the folder `pipeline` it writes as base"
            ) from error
        raise BadConfig(
            f"{source.path} has no readable {INDEX} ({type(error).__name__}), so it is not a model in the diffusers"
            f" layout; {source.advice}"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("_class_name"), str):
        raise BadConfig(f"{source.path}: {INDEX} does not name a pipeline class; {source.advice}")
    return content


def is_fetchable(name: str) -> bool:
    """Say whether a name is that of a hub model which is not here, and may be fetched when it is loaded."""
    if name in BUILTIN or Path(name).exists() or not _HUB_ID.fullmatch(name) or _is_file(name):
        return False
    model, _, revision = name.partition("@")
    return find_cached(model, revision) is None and not is_offline()


def _is_file(name: str) -> bool:
    return Path(name.partition("@")[0]).suffix in (_CHECKPOINT, *_PICKLES)


def _on_hub(name: str, fetch: Fetch | None) -> Source:
    """Find a hub model in the cache of `huggingface_hub`, or fetch what is missing."""
    model, _, revision = name.partition("@")
    command = ["hf", "download", model, *(["--revision", revision] if revision else [])]
    by_hand = shlex.join([*command, *(word for pattern in _DOWNLOAD for word in ("--include", pattern))])
    folder = find_cached(model, revision)
    if fetch is not None and not is_offline():
        folder = fetch(model, revision, folder)
    if folder is None:
        raise BadConfig(
            f"base {name!r} is neither a folder here nor in the hub's cache; if it is on the hub, fetch it with:"
            f" {by_hand}"
        )
    return Source(folder, advice=f"fetch it with: {by_hand}", revision=folder.name)


def _refusal(path: Path) -> str:
    target = path.with_suffix(_CHECKPOINT)
    script = (
        "import sys, torch; from safetensors.torch import save_file;"
        " d = torch.load(sys.argv[1], map_location='cpu', weights_only=True); d = d.get('state_dict', d);"
        " save_file({k: v.clone() for k, v in d.items() if torch.is_tensor(v)}, sys.argv[2])"
    )
    command = shlex.join(["python", "-c", script, str(path), str(target)])
    return (
        f"{path} is a pickle: opening one can run any program hidden in it, so it is not read. Look for the"
        f" {_CHECKPOINT} file its makers publish, or convert it with weights_only, which refuses programs: {command}"
    )

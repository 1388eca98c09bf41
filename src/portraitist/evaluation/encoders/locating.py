"""Finding an encoder's files: built in, in a folder, or in the Hugging Face cache. Nothing is downloaded here."""

import hashlib
from importlib.resources import files
from pathlib import Path

from portraitist.errors import BadConfig
from portraitist.files import sha256

# The last one judges nothing: hypernetworks may see with it.
BUILTIN = ("toyland-clip", "toyland-dino", "toyland-identity", "toyland-second-identity")
_WEIGHTS = ("*.safetensors", "*.bin", "*.onnx")


def locate(name: str) -> Path:
    """Return the folder or file of an encoder.

    Args:
        name: A built-in name, a path, or a hub id that was fetched before.

    Raises:
        BadConfig: If it is nowhere, with the command that fetches it.
    """
    if name in BUILTIN:
        folder = Path(str(files("portraitist.evaluation"))) / "builtin" / name
        if folder.exists():
            return folder
        raise BadConfig(
            f"this build of the package has no trained {name}; train it with `portraitist toyland judges BASE --stage"
            f" {name.removeprefix('toyland-')}` and give its folder"
        )
    path = Path(name).expanduser()
    if path.exists():
        return path
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise BadConfig(f"there is no encoder at {name}; give {', '.join(BUILTIN)}, a path, or a hub id")
    return _in_cache(name)


def _in_cache(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise BadConfig(f"the encoder {name} is not on this machine; fetch it with: hf download {name}") from error


def revision(path: Path) -> str:
    """Hash the weights of an encoder, a file or all weight files of a folder, to 16 hexadecimal digits.

    Raises:
        BadConfig: If there are none.
    """
    if path.is_file():
        return sha256(path)[:16]
    found = next((sorted(path.rglob(pattern)) for pattern in _WEIGHTS if any(path.rglob(pattern))), [])
    if not found:
        raise BadConfig(f"{path} holds no weights ({', '.join(_WEIGHTS)}); fetch the encoder again")
    digest = hashlib.sha256()
    for file in found:
        digest.update(f"{file.relative_to(path)} {sha256(file)}\n".encode())
    return digest.hexdigest()[:16]

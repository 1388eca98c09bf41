"""Models of the Hugging Face hub: found in its cache, or fetched: only what a pipeline needs, its size said first."""

import json
import os
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from portraitist.errors import BadConfig
from portraitist.progress import console, track
from portraitist.units import counted, in_bytes

INDEX = "model_index.json"
_MAIN = "main"
_WEIGHTS = ".safetensors"
_SHARDS = ".safetensors.index.json"
_SMALL = (".json", ".txt", ".model", ".jinja")
# Copies of the weights that no pipeline loads by itself.
_OTHER_COPIES = ("non_ema", "ema_only")
_HALF = "fp16"
# Parts of a pipeline that are not used here.
_UNUSED = ("safety_checker", "image_encoder")
_MEGABYTE = 10**6
_OFFLINE = "HF_HUB_OFFLINE"


def is_offline() -> bool:
    """Say whether nothing may be fetched: ``HF_HUB_OFFLINE`` or ``--offline``."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def go_offline() -> None:
    """Fetch nothing from here on, in this process and those it starts."""
    os.environ[_OFFLINE] = "1"
    if (constants := sys.modules.get("huggingface_hub.constants")) is not None:  # which has read it already
        setattr(constants, _OFFLINE, True)


def find_cached(model: str, revision: str) -> Path | None:
    """Return a model's snapshot in the hub's cache, perhaps without some of its files; None if there is none.

    Args:
        model: ``owner/model``.
        revision: A branch, a tag or a commit; the main branch when empty.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        # Asked for one file only: whoever has fetched a part of a repository has no more than that.
        return Path(snapshot_download(model, revision=revision or None, local_files_only=True, allow_patterns=INDEX))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError, ValueError):
        return None


def is_whole(folder: Path, weights: bool = True, without: Collection[str] = ()) -> bool:
    """Say whether a snapshot has every file that a pipeline needs of it, as far as its own files tell.

    Args:
        folder: The snapshot.
        weights: Weights are needed, not only configurations.
        without: Parts whose weights come from elsewhere.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return all(_has_part(folder, part, there, weights and part not in without) for part in used_parts(index))


def _has_part(folder: Path, part: str, there: Collection[str], weights: bool) -> bool:
    own = [name for name in there if name.startswith(f"{part}/")]
    is_network = f"{part}/config.json" in own
    if not own or not weights or not is_network:
        return bool(own)
    for shards in [name for name in own if _SHARDS.removesuffix(".json") in name]:
        try:
            files = set(json.loads((folder / shards).read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False
        if all(f"{part}/{file}" in there for file in files):
            return True
    return any(name.endswith(_WEIGHTS) and "-of-" not in name for name in own)


def used_parts(index: Mapping[str, Any]) -> list[str]:
    """Return the parts of a pipeline that are there and used."""
    return [part for part, kind in index.items() if isinstance(kind, list) and all(kind) and part not in _UNUSED]


def choose_files(
    names: Collection[str],
    index: Mapping[str, Any],
    half: bool,
    weights: bool = True,
    without: Collection[str] = (),
) -> list[str]:
    """Return the files of a repository that a pipeline needs.

    Args:
        names: All of its files.
        index: Its ``model_index.json``.
        half: Take copies in half precision where there are some; without, only where there are no others.
        weights: Take weights, not only configurations.
        without: Parts whose weights come from elsewhere.
    """
    chosen = [INDEX]
    for part in used_parts(index):
        own = [name for name in names if PurePosixPath(name).parent.as_posix() == part]
        chosen += [name for name in own if name.endswith(_SMALL) and _SHARDS.removesuffix(".json") not in name]
        files = [name for name in own if _WEIGHTS in name and not any(copy in name for copy in _OTHER_COPIES)]
        halves = [name for name in files if f".{_HALF}" in name]
        whole = [name for name in files if name.split("/")[-1].count(".") == 1 + 2 * name.endswith(_SHARDS)]
        whole = [name for name in whole if f".{_HALF}" not in name]
        if weights and part not in without:
            chosen += (halves or whole) if half else (whole or halves)
    return sorted(chosen)


def complete(
    model: str,
    revision: str,
    there: Path | None,
    *,
    half: bool = False,
    weights: bool = True,
    without: Collection[str] = (),
) -> Path:
    """Return a snapshot with everything that a pipeline needs: the one that is there, or it is fetched.

    Args:
        model: ``owner/model``.
        revision: As for `fetch`.
        there: What `find_cached` found.
        half: As for `fetch`.
        weights: As for `fetch`.
        without: As for `fetch`.

    Raises:
        BadConfig: As `fetch` does.
    """
    if there is not None and is_whole(there, weights, without):
        return there
    return fetch(model, revision, half, weights, without)


def fetch(model: str, revision: str, half: bool = False, weights: bool = True, without: Collection[str] = ()) -> Path:
    """Fetch what a pipeline needs of a model into the hub's cache; what is there already is not fetched again.

    Args:
        model: ``owner/model``.
        revision: A branch, a tag or a commit; the main branch when empty.
        half: Weights in half precision will do.
        weights: Fetch weights, not only configurations.
        without: Parts whose weights come from elsewhere.

    Returns:
        The snapshot, a folder named by its commit.

    Raises:
        BadConfig: If there is no such model or no way to it, in one line with what to do.
    """
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    with _explained(model, revision):
        index_file = Path(hf_hub_download(model, INDEX, revision=revision or None))
        commit = index_file.parent.name
        info = HfApi().model_info(model, revision=commit, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        index = json.loads(index_file.read_text(encoding="utf-8"))
        wanted = choose_files(sizes, index, half, weights, without)
        asked = [part for part in used_parts(index) if weights and part not in without]
        if pickled := [part for part in asked if _lacks_weights(part, sizes, wanted)]:
            raise BadConfig(
                f"base {model!r} holds the weights of its {pickled[0]} as pickles (.bin), which are not read"
            )
        missing = [name for name in wanted if not isinstance(try_to_load_from_cache(model, name, revision=commit), str)]
        _announce(model, {name: sizes[name] for name in missing if name in sizes})
        with track(
            sum(sizes.get(name, 0) for name in missing) // _MEGABYTE, f"{model} (MB)", hidden=not missing
        ) as bar:
            for name in missing:
                hf_hub_download(model, name, revision=commit, tqdm_class=_counting(bar.advance))
    return index_file.parent


def _lacks_weights(part: str, names: Collection[str], wanted: Collection[str]) -> bool:
    """Say whether a part is a network without weights that can be read."""
    is_network = f"{part}/config.json" in names
    return is_network and not any(name.startswith(f"{part}/") and name.endswith(_WEIGHTS) for name in wanted)


def _announce(model: str, files: Mapping[str, int]) -> None:
    """Say how much will be fetched and to where.

    Raises:
        BadConfig: If it does not fit on the disk.
    """
    from huggingface_hub import constants

    if not files:
        return
    place = Path(constants.HF_HUB_CACHE)
    total, free = sum(files.values()), shutil.disk_usage(_there(place)).free
    if total > free:
        raise BadConfig(
            f"{model} takes {in_bytes(total)}, and {place} has {in_bytes(free)} free; make room, or name another place"
            " in the variable HF_HOME"
        )
    console.print(
        f"{model}: fetching {in_bytes(total)} in {counted(len(files), 'file')} into {place}; interrupted, it goes on"
        " from there the next time",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _there(place: Path) -> Path:
    """Return the nearest folder above a place that exists."""
    return next((folder for folder in (place, *place.parents) if folder.is_dir()), Path.cwd())


def _counting(advance: Any) -> type:
    """Return a bar of the hub's kind that shows nothing and tells how many megabytes have come."""
    from huggingface_hub.utils import tqdm

    class Counting(tqdm):  # type: ignore[misc]
        """Counts bytes."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "disable": True})
            self._bytes = 0

        def update(self, count: float | None = 1) -> None:
            """Add bytes."""
            before, self._bytes = self._bytes, self._bytes + int(count or 0)
            if self._bytes // _MEGABYTE > before // _MEGABYTE:
                advance(self._bytes // _MEGABYTE - before // _MEGABYTE)

    return Counting


@contextmanager
def _explained(model: str, revision: str) -> Iterator[None]:
    """Turn what may go wrong on the way to the hub into one line that says what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"{constants.ENDPOINT}/{model}"
    try:
        yield
    except GatedRepoError as error:
        raise BadConfig(
            f"{model} is gated: accept its terms at {page}, and log in with `hf auth login`; then run this again"
        ) from error
    except RepositoryNotFoundError as error:
        raise BadConfig(
            f"base {model!r} is neither a folder here nor a model at {page}; check the spelling, or, if it is private,"
            " log in with `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise BadConfig(f"{model} has no revision {revision!r}; see {page}/tree/main for those there are") from error
    except LocalEntryNotFoundError as error:
        raise BadConfig(f"{page} cannot be reached; check the connection and run this again") from error
    except EntryNotFoundError as error:
        raise BadConfig(
            f"{model} has no {INDEX}, so it is not a model in the diffusers layout; if {page} has a single"
            " .safetensors checkpoint, fetch that and give its path"
        ) from error
    except (HTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise BadConfig(f"{model} could not be fetched from {page} ({reason}); run this again to go on") from error

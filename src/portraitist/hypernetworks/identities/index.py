"""The index of a set: one row an identity, in Parquet."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from portraitist.bases.families import Framing
from portraitist.errors import BadFile, MissingExtra
from portraitist.files import write_aside
from portraitist.hypernetworks.identities.entry import Entry, PhotoFacts, TargetFacts

FILE = "index.parquet"


def require_parquet() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet module.

    Raises:
        MissingExtra: If pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra("parquet", "pyarrow") from error
    return pyarrow, parquet


def write_index(folder: Path, entries: Sequence[Entry], facts: dict[str, str]) -> None:
    """Write a set's index.

    Args:
        folder: The set's folder.
        entries: Its identities.
        facts: What is written beside the table, such as the base's fingerprint.
    """
    pyarrow, parquet = require_parquet()
    table = pyarrow.Table.from_pylist([_pack(entry) for entry in entries], _schema(pyarrow).with_metadata(facts))
    with write_aside(folder / FILE) as temporary:
        parquet.write_table(table, temporary, write_page_checksum=True)


def read_index(folder: Path) -> list[Entry]:
    """Read a set's index.

    Raises:
        MissingExtra: If pyarrow is not installed.
        BadFile: If it is missing or damaged.
    """
    pyarrow, parquet = require_parquet()
    path = folder / FILE
    if not path.exists():
        raise BadFile(
            f"{folder} has no {FILE} yet; finish it with the `portraitist identities` command that started it"
        )
    try:
        table = parquet.read_table(path, schema=_schema(pyarrow), page_checksum_verification=True)
        return [_unpack(row) for row in table.to_pylist()]
    except (OSError, pyarrow.ArrowException, KeyError, TypeError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())[:200]
        raise BadFile(f"{path} is damaged ({said}); run `portraitist identities` again to write it anew") from error


def _schema(pyarrow: Any) -> Any:
    text, number, real = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    photo = {"caption": text, "prompt": text, "labels": text, "sha256": text, "framing": pyarrow.list_(number)}
    target = {"bank": number, "row": number, "base_loss": real, "loss": real, "seconds": real, "likeness": real}
    return pyarrow.schema(
        {
            "number": number,
            **dict.fromkeys(("key", "kind", "class_noun", "split", "prompt"), text),
            **dict.fromkeys(("seed", "shard", "row", "first"), number),
            "photos": pyarrow.list_(pyarrow.struct({**photo, "twin": text})),
            "provenance": text,
            "target": pyarrow.struct({**target, "diverged": pyarrow.bool_()}),
            "flags": pyarrow.list_(text),
        }
    )


def _pack(entry: Entry) -> dict[str, Any]:
    row = asdict(entry)
    for photo in row["photos"]:
        photo["labels"] = json.dumps(photo["labels"])
        photo["framing"] = [number for pair in photo["framing"].values() for number in pair]
    return {**row, "provenance": json.dumps(row["provenance"])}


def _unpack(row: dict[str, Any]) -> Entry:
    photos = tuple(
        PhotoFacts(**{**photo, "labels": json.loads(photo["labels"]), "framing": _framing(photo["framing"])})
        for photo in row["photos"]
    )
    target = TargetFacts(**row["target"]) if row["target"] is not None else None
    provenance, flags = json.loads(row["provenance"]), tuple(row["flags"])
    return Entry(**{**row, "photos": photos, "target": target, "provenance": provenance, "flags": flags})


def _framing(numbers: Sequence[int]) -> Framing:
    height, width, top, left, target_height, target_width = numbers
    return Framing((height, width), (top, left), (target_height, target_width))

"""The index: what is written is read."""

from pathlib import Path

import pytest
from hand_made_set import entries

from portraitist.errors import BadFile
from portraitist.hypernetworks.identities.index import FILE, read_index, write_index


def test_entries_come_back_as_they_were(tmp_path: Path) -> None:
    write_index(tmp_path, entries(), {"base": "abc"})
    assert read_index(tmp_path) == entries()


def test_an_empty_index_is_one(tmp_path: Path) -> None:
    write_index(tmp_path, [], {})
    assert read_index(tmp_path) == []


def test_a_missing_or_damaged_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"has no index\.parquet yet"):
        read_index(tmp_path)
    (tmp_path / FILE).write_bytes(b"PAR1 and nothing else")
    with pytest.raises(BadFile, match=r"index.parquet is damaged .*; run `portraitist identities` again"):
        read_index(tmp_path)

"""Nothing in the cache is believed: what is not as it was written is made again."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from portraitist.cache import cache_path, cached, checksum


def make() -> dict[str, Tensor]:
    return {"a": torch.arange(6.0).view(2, 3), "empty": torch.zeros(0, 2), "half": torch.ones(3, dtype=torch.bfloat16)}


def unexpected() -> dict[str, Tensor]:
    raise AssertionError("made again")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PORTRAITIST_CACHE", str(tmp_path))
    return tmp_path


def test_what_is_there_is_not_made_again() -> None:
    first = cached("kind", "key", make)
    again = cached("kind", "key", unexpected)
    assert all(torch.equal(first[name], again[name]) for name in make())


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [flip, lambda path: path.write_bytes(b"damaged"), lambda path: path.write_bytes(b"")]
)
def test_one_flipped_bit_is_seen_and_mended_in_one_line(damage: Callable[[Path], object]) -> None:
    cached("kind", "key", make)
    damage(cache_path("kind", "key"))
    with pytest.warns(UserWarning, match="was damaged; it is made again") as told:
        found = cached("kind", "key", make)
    assert len(told) == 1
    assert all(torch.equal(value, found[name]) for name, value in make().items())
    cached("kind", "key", unexpected)


def test_a_file_under_another_key_is_not_believed() -> None:
    cached("kind", "key", make)
    cache_path("kind", "key").rename(cache_path("kind", "other"))
    with pytest.warns(UserWarning, match="was damaged"):
        assert cached("kind", "other", lambda: {"b": torch.ones(1)}).keys() == {"b"}


def test_files_of_earlier_versions_are_made_again_in_silence() -> None:
    path = cache_path("kind", "key")
    path.parent.mkdir(parents=True)
    save_file({"a": torch.zeros(1)}, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cached("kind", "key", make).keys() == make().keys()
    assert load_file(path).keys() == make().keys()


def test_a_checksum_is_of_names_shapes_precisions_and_texts() -> None:
    one = {"a": torch.zeros(4)}
    others = [{"b": torch.zeros(4)}, {"a": torch.zeros(2, 2)}, {"a": torch.zeros(4, dtype=torch.int32)}, {}]
    sums = [checksum(one), checksum(one, "x"), *map(checksum, others)]
    assert len({*sums}) == len(sums)
    assert checksum({"a": torch.zeros(11, 1)[::11].as_strided((1,), (11,))}) == checksum({"a": torch.zeros(1)})

"""Converting and merging as functions: weights, places, and the snippet of the documentation."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from portraitist.adapters import Adapter, save_adapter
from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig, BadFile, BaseMismatch
from portraitist.generation.conversion import check_target, convert, merge_adapters, merge_weights

FORMATS = Path(__file__).parents[2] / "docs" / "formats.md"


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


@pytest.fixture
def write(base: Base, draw_adapter: Callable[..., Adapter], tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, fingerprint: str | None) -> Path:
        adapter = draw_adapter(base.components, "lora", ("unet.mid_block*to_q",), rank=2)
        adapter.provenance.facts["base"] = {"name": base.name, "fingerprint": fingerprint}
        save_adapter(adapter, tmp_path / name)
        return tmp_path / name

    return write


def test_bases_are_told_apart_across_precisions(write: Callable[..., Path], tmp_path: Path) -> None:
    files = [write("a.safetensors", "1-2-3"), write("b.safetensors", "1-5-3"), write("c.safetensors", "1-6-7")]
    merge_adapters(files[:2], tmp_path / "ab.safetensors")
    with pytest.raises(BaseMismatch, match=r"1-2-3\) and .*1-6-7\); use --force"):
        merge_adapters(files, tmp_path / "abc.safetensors")
    assert merge_adapters(files, tmp_path / "abc.safetensors", force=True).written.count() > 0


def test_weights() -> None:
    assert merge_weights(2, None, "add") == [1, 1]
    assert merge_weights(2, [3, 1], "interpolate") == [0.75, 0.25]
    with pytest.raises(BadConfig, match="3 adapters need 3 weights, not 2"):
        merge_weights(3, [1, 1], "add")


def test_places(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "empty").mkdir()
    check_target(tmp_path / "empty", "peft")
    check_target(tmp_path / "full", "peft", overwrite=True)
    with pytest.raises(BadFile, match="full exists already"):
        check_target(tmp_path / "full", "peft")
    with pytest.raises(BadConfig, match=r"its name ends in \.safetensors"):
        check_target(tmp_path / "lora.bin", "kohya")


def test_the_snippet_of_the_documentation_runs(
    write: Callable[..., Path], base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", FORMATS.read_text(encoding="utf-8"), re.DOTALL)
    convert(write("own.safetensors", base.fingerprint), tmp_path / "lora.safetensors", "kohya")
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet.replace('"toyland"', repr(base.name)), str(FORMATS), "exec"), {})
    assert (tmp_path / "peft-folder" / "adapter_config.json").is_file()

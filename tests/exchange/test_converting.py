"""The snippet of the documentation on converting."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from portraitist.bases import Base
from portraitist.exchange.converting import convert

FORMATS = Path(__file__).parents[2] / "docs" / "formats.md"


def test_the_snippet_of_the_documentation_runs(
    write: Callable[..., Path], base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", FORMATS.read_text(encoding="utf-8"), re.DOTALL)
    convert(write("own.safetensors", base.fingerprint), tmp_path / "lora.safetensors", "kohya")
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet.replace('"toyland"', repr(base.name)), str(FORMATS), "exec"), {})
    assert (tmp_path / "peft-folder" / "adapter_config.json").is_file()

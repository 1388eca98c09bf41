"""Values that are parsed by hand."""

from pathlib import Path
from typing import Any

import pytest

from portraitist.cli.options import choose_device, parse_adapter, parse_settings
from portraitist.errors import BadConfig


@pytest.mark.parametrize(
    ("pairs", "settings"),
    [
        ([], {}),
        (["steps=3"], {"steps": 3}),
        (["learning_rate=1e-4"], {"learning_rate": 1e-4}),
        (["mirror=true", "prior=none"], {"mirror": True, "prior": "none"}),
        (["layers=[a.*, b.*]"], {"layers": ["a.*", "b.*"]}),
        (["method_config.rank=8", "method_config.alpha=4"], {"method_config": {"rank": 8, "alpha": 4}}),
        (["prompt=a = b of {}"], {"prompt": "a = b of {}"}),
        (["min_snr_gamma="], {"min_snr_gamma": None}),
    ],
)
def test_settings(pairs: list[str], settings: dict[str, Any]) -> None:
    assert parse_settings(pairs) == settings


@pytest.mark.parametrize(
    ("pairs", "complaint"),
    [
        (["steps"], "name=value"),
        (["=3"], "name=value"),
        (["a..b=3"], "name=value"),
        (["steps={"], "not YAML"),
        (["method=full"], "--method"),
        (["a=1", "a.b=2"], "both a value and parts"),
    ],
)
def test_bad_settings(pairs: list[str], complaint: str) -> None:
    with pytest.raises(BadConfig, match=complaint):
        parse_settings(pairs)


@pytest.mark.parametrize(
    ("text", "path", "scale"),
    [
        ("a.safetensors", "a.safetensors", 1.0),
        ("a.safetensors:0.5", "a.safetensors", 0.5),
        ("a.safetensors:-1", "a.safetensors", -1.0),
        ("C:folder/a.safetensors", "C:folder/a.safetensors", 1.0),
    ],
)
def test_adapters(text: str, path: str, scale: float) -> None:
    assert parse_adapter(text) == (Path(path), scale)


@pytest.mark.parametrize("scale", ["nan", "inf", "-inf"])
def test_scales_that_are_no_numbers(scale: str) -> None:
    with pytest.raises(BadConfig, match=f"finite number, not {scale}"):
        parse_adapter(f"a.safetensors:{scale}")


def test_a_file_whose_name_ends_like_a_scale_is_found(tmp_path: Path) -> None:
    file = tmp_path / "a:2"
    file.touch()
    assert parse_adapter(str(file)) == (file, 1.0)
    assert parse_adapter(f"{file}:0.5") == (file, 0.5)


def test_devices() -> None:
    assert choose_device("cpu") == "cpu"
    with pytest.raises(BadConfig, match="no device 'abacus'"):
        choose_device("abacus")

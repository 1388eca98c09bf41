"""What is chosen, as it is typed."""

from pathlib import Path

import pytest

from portraitist.errors import BadConfig
from portraitist.requests.choices import AdapterChoice, RegionChoice, check_fit, name_files


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
    assert AdapterChoice.parse_text(text) == AdapterChoice(file=Path(path), scale=scale)


@pytest.mark.parametrize("scale", ["nan", "inf", "-inf"])
def test_scales_that_are_no_numbers(scale: str) -> None:
    with pytest.raises(BadConfig, match=f"a finite number, not {scale}"):
        AdapterChoice.parse_text(f"a.safetensors:{scale}")


def test_a_file_whose_name_ends_like_a_scale_is_found(tmp_path: Path) -> None:
    file = tmp_path / "a:2"
    file.touch()
    assert AdapterChoice.parse_text(str(file)) == AdapterChoice(file=file)
    assert AdapterChoice.parse_text(f"{file}:0.5") == AdapterChoice(file=file, scale=0.5)


@pytest.mark.parametrize("text", ["left", "=a cat", "left=", "left=a cat@", "left=@cat"])
def test_a_wrong_spelling_of_a_region_is_refused(text: str) -> None:
    with pytest.raises(BadConfig, match="PLACE=PROMPT or PLACE=PROMPT@ADAPTER"):
        RegionChoice.parse_text(text)


def test_regions() -> None:
    assert RegionChoice.parse_text("left=a sks cat") == RegionChoice(place="left", prompt="a sks cat")
    region = RegionChoice.parse_text("0,0,.5,1 = a cat, 50 = 50 @ c.safetensors:0.5", base_ratio=0.3)
    assert (region.place, region.prompt, region.base_ratio, region.start) == ("0,0,.5,1", "a cat, 50 = 50", 0.3, None)
    assert region.adapter == AdapterChoice(file=Path("c.safetensors"), scale=0.5)


def test_adapters_are_named_apart() -> None:
    paths = [Path("a/one.safetensors"), Path("b/one.safetensors")]
    assert name_files(paths) == {paths[0]: "one.safetensors", paths[1]: "b/one.safetensors"}
    with pytest.raises(BadConfig, match="given twice"):
        name_files([paths[0], paths[0]])


def test_fits() -> None:
    check_fit("pad")
    with pytest.raises(BadConfig, match="crop or pad, not 'stretch'"):
        check_fit("stretch")
